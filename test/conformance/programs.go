package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"
)

// programs is the folder of what speaks to a server by other languages' drivers.
const programs = "test/conformance/drivers"

// A program exercises one driver, and says case by case what it saw:
//
//	== NAME                    begins a case
//	== NAME differs: REASON    as docs/guides/database.md says it in its exceptions
//	!! WHAT                    within it: an answer that no way may give
//
// Everything else within a case must be the same by each way.
type program struct {
	name    string
	needs   []string // succeeds where the driver is installed
	install string   // says what brings it
	command []string
}

// languages are the programs by the folder that they stand in.
var languages = []program{
	{name: "asyncpg", needs: python("import asyncpg"), install: "apt-get install python3-asyncpg", command: python3("asyncpg_cases.py")},
	{name: "psycopg3", needs: python("import psycopg"), install: "apt-get install python3-psycopg", command: python3("psycopg3_cases.py")},
	{name: "psycopg2", needs: python("import psycopg2"), install: "apt-get install python3-psycopg2", command: python3("psycopg2_cases.py")},
	{name: "alembic", needs: python("import alembic, psycopg2, asyncpg"), install: "apt-get install python3-alembic python3-psycopg2 python3-asyncpg", command: python3("alembic_cases.py")},
	{name: "django", needs: python("import django, psycopg2"), install: "apt-get install python3-django python3-psycopg2", command: python3("django_cases.py")},
	{name: "odbc", needs: []string{"bash", "-c", "/usr/bin/python3 -c 'import pyodbc' && odbcinst -q -d -n 'PostgreSQL Unicode'"}, install: "apt-get install odbc-postgresql python3-pyodbc odbcinst",
		command: python3("odbc_cases.py")},
	{name: "perl", needs: []string{"perl", "-MDBD::Pg", "-e", "1"}, install: "apt-get install libdbd-pg-perl", command: []string{"perl", programs + "/perl/cases.pl"}},
	{name: "ruby", needs: []string{"ruby", "-e", "require 'pg'"}, install: "apt-get install ruby-pg", command: []string{"ruby", programs + "/ruby/cases.rb"}},
	{name: "php", needs: []string{"php", "-r", "exit(extension_loaded('pgsql') && extension_loaded('pdo_pgsql') ? 0 : 1);"}, install: "apt-get install php-cli php-pgsql", command: []string{"php", programs + "/php/cases.php"}},
	onNode("node-postgres", "pg_cases.js", "pg-query-stream"),
	onNode("postgres.js", "postgres_cases.js", "postgres"),
	onNode("pg-promise", "pgpromise_cases.js", "pg-promise"),
	onNode("typeorm", "typeorm_cases.js", "typeorm"),
	onNode("sequelize", "sequelize_cases.js", "sequelize"),
	onNode("drizzle", "drizzle_cases.js", "drizzle-orm"),
	onNode("builders", "builders_cases.js", "kysely"),
	onNode("mikroorm", "mikroorm_cases.js", "@mikro-orm/postgresql"),
	onNode("queues", "queues_cases.js", "pg-boss"),
	onNode("prisma", "prisma_cases.js", "@prisma/client"),
	{name: "go", needs: []string{"go", "list", "-C", goModule, "-deps", "."}, install: "go mod download -C " + goModule, command: []string{"go", "run", "-C", goModule, "."}},
	{name: "jdbc", needs: []string{"bash", "-c", "javac -version && test -f " + jar}, install: "apt-get install openjdk-17-jdk-headless libpostgresql-jdbc-java",
		command: []string{"java", "-cp", jar, programs + "/java/Cases.java"}},
	{name: "psql", needs: []string{"psql", "--version"}, install: "apt-get install postgresql-client", command: []string{"bash", programs + "/shell/psql_cases.sh"}},
	{name: "tools", needs: []string{"bash", "-c", "pg_prove --version && pgcli --version && ls /usr/share/postgresql/*/extension/pgtap.control"}, install: "apt-get install libtap-parser-sourcehandler-pgtap-perl postgresql-15-pgtap pgcli",
		command: []string{"bash", programs + "/shell/tools_cases.sh"}},
	{name: "pg_dump", needs: []string{"pg_dump", "--version"}, install: "apt-get install postgresql-client", command: []string{"bash", programs + "/shell/dump_cases.sh"}},
	{name: "pgbench", needs: []string{"pgbench", "--version"}, install: "apt-get install postgresql-contrib", command: []string{"bash", programs + "/shell/pgbench_cases.sh"}},
}

// goModule is a module of its own, so that what it needs is not this one's.
const goModule = programs + "/go"

// jar is where Debian puts the driver.
const jar = "/usr/share/java/postgresql.jar"

// python is the interpreter for which Debian installs drivers.
func python(code string) []string { return []string{"/usr/bin/python3", "-c", code} }

func python3(file string) []string { return []string{"/usr/bin/python3", programs + "/python/" + file} }

// onNode is a program that needs a module of npm. None of them needs its scripts.
func onNode(name, file, module string) program {
	return program{name: name, needs: []string{"node", "-e", "require.resolve('" + module + "', {paths: ['" + programs + "/node']})"},
		install: "npm install --ignore-scripts --no-package-lock --prefix " + programs + "/node", command: []string{"node", programs + "/node/" + file}}
}

// A transcript is what a program said of each case.
type transcript struct {
	order   []string
	said    map[string]string
	differs map[string]string // the reason, of those that may not be alike
}

// runPrograms runs those whose name matches by each way, and compares.
func runPrograms(ctx context.Context, ways []way, names *regexp.Regexp) error {
	differ := 0
	for _, p := range languages {
		if !names.MatchString(p.name) {
			continue
		}
		if exec.CommandContext(ctx, p.needs[0], p.needs[1:]...).Run() != nil {
			fmt.Printf("%s: SKIPPED, its driver is missing: %s\n", p.name, p.install)
			continue
		}
		n, err := p.compare(ctx, ways)
		if err != nil {
			return err
		}
		differ += n
	}
	if differ > 0 {
		return fmt.Errorf("%d cases do not end as they do directly", differ)
	}
	return nil
}

func (p program) compare(ctx context.Context, ways []way) (differ int, err error) {
	all := make([]transcript, len(ways))
	for i, w := range ways {
		begun := time.Now()
		if all[i], err = p.run(ctx, w); err != nil {
			return 0, err
		}
		bad := 0
		for _, name := range all[i].order {
			if all[i].wrong(name, all[0]) {
				bad++
				fmt.Printf("-- %s, %s: %s\n%s", p.name, w.name, name, unlike(all[0].said[name], all[i].said[name]))
			}
		}
		for _, name := range all[0].order {
			if _, there := all[i].said[name]; !there {
				bad++
				fmt.Printf("-- %s, %s: %s: not reached\n", p.name, w.name, name)
			}
		}
		fmt.Printf("%s, %s: %d cases, %d wrong, in %.1f s\n", p.name, w.name, len(all[i].order), bad, time.Since(begun).Seconds())
		differ += bad
	}
	return differ, nil
}

// wrong reports whether a case did not end as it did directly, or as it may
// end by no way.
func (t transcript) wrong(name string, direct transcript) bool {
	if strings.Contains("\n"+t.said[name], "\n!! ") {
		return true
	}
	_, may := t.differs[name]
	return !may && t.said[name] != direct.said[name]
}

// unlike returns the lines that only one of two texts has at a place, and those
// that no way may give.
func unlike(direct, got string) string {
	a, b := strings.SplitAfter(direct, "\n"), strings.SplitAfter(got, "\n")
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] && !strings.HasPrefix(b[0], "!! ") {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] && !strings.HasPrefix(b[len(b)-1], "!! ") {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	return "  directly: " + strings.Join(a, "  directly: ") + "\n  so:       " + strings.Join(b, "  so:       ") + "\n"
}

// run runs a program by one way. What does not come from it counts as a case.
func (p program) run(ctx context.Context, w way) (t transcript, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.command[0], p.command[1:]...)
	cmd.Env = append(os.Environ(), w.environment()...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	t = transcript{said: map[string]string{}, differs: map[string]string{}}
	ended := cmd.Run()
	guide, err := os.ReadFile("docs/guides/database.md")
	if err != nil {
		return t, err
	}
	t.read(&out, string(guide))
	if ended != nil {
		t.add("the program itself", "")
		t.said["the program itself"] = fmt.Sprintf("!! %v: %s\n", ended, errs.String())
	}
	return t, ctx.Err()
}

func (t *transcript) add(name, reason string) {
	t.order = append(t.order, name)
	t.said[name] = ""
	if reason != "" {
		t.differs[name] = reason
	}
}

func (t *transcript) read(out *bytes.Buffer, guide string) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 64<<20)
	name := "before the first case"
	for lines.Scan() {
		if begins, ok := strings.CutPrefix(lines.Text(), "== "); ok {
			var reason string
			name, reason, _ = strings.Cut(begins, " differs: ")
			if _, twice := t.said[name]; twice {
				t.said[name] += "!! two cases of that name\n"
			}
			t.add(name, reason)
			if !strings.Contains(guide, reason) {
				t.said[name] += "!! the guide does not say: " + reason + "\n"
			}
			continue
		}
		t.said[name] += lines.Text() + "\n"
	}
}
