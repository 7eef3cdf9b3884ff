package migrate

import "testing"

func TestErrorsNameTheLineOfTheStatement(t *testing.T) {
	const sql = `-- first; comment
CREATE TABLE "a;b" (s text DEFAULT 'x;''y');

/* two; /* nested; */ */ ;;
CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $body$
	SELECT 1; SELECT $1$ 2; $1$;
$body$;
INSERT INTO t VALUES (E'it\';s');
SELECT a$b FROM c; SELECT $1;
`
	for n, want := range []int{2, 5, 8, 9, 9, 9} {
		if got := lineOfStatement(sql, n); got != want {
			t.Errorf("statement %d: line %d, want %d", n+1, got, want)
		}
	}
	if got := lineOfCharacter("ä\nö", 3); got != 2 {
		t.Errorf("third character: line %d, want 2", got)
	}
}

func FuzzLine(f *testing.F) {
	for _, s := range []string{"", ";", "$", "$a$", "/*", "E'\\", "--", "'", "a$$;$$"} {
		f.Add(s, 1, 1)
	}
	f.Fuzz(func(t *testing.T, sql string, statement, character int) {
		lines := lineAt(sql, len(sql))
		if got := lineOfStatement(sql, statement); got < 1 || got > lines {
			t.Errorf("line %d of %d", got, lines)
		}
		if got := lineOfCharacter(sql, character%1000); got < 1 || got > lines {
			t.Errorf("line %d of %d", got, lines)
		}
	})
}
