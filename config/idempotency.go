package config

import (
	"fmt"
	"time"
)

// Idempotency says what becomes of a request with an Idempotency-Key that is not
// safe to repeat.
type Idempotency struct {
	Deduplicate bool          `key:"deduplicate" default:"true" doc:"Whether regions execute such a request once, and edges may then send it to another region when its own falls silent. Not with servers."`
	Keep        time.Duration `key:"keep" default:"24h" doc:"How long a key and its answer are remembered." want:"a duration from 5m to 720h such as 24h"`
	Answer      Size          `key:"answer" default:"64KiB" doc:"The largest answer that is kept; of a larger one it is only known that it was given." want:"a size from 1KiB to 1MiB"`
	Reclaim     bool          `key:"reclaim" doc:"Whether a request is executed again, when it is sent again, whose region was lost before anything was written to the database for it. What its function did elsewhere, such as an e-mail, is then done twice. Otherwise it is answered 409."`
}

// Deduplicates reports whether regions execute once what has an Idempotency-Key.
// They need one database to agree in, whose history Meridian knows.
func (f *File) Deduplicates() bool {
	return f.Database != nil && f.Database.Idempotency.Deduplicate && len(f.Database.Servers) == 0
}

func (d *decoder) checkIdempotency(i Idempotency) {
	if i.Keep < 5*time.Minute || i.Keep > 720*time.Hour {
		d.fail(position{key: "database.idempotency.keep"}, fmt.Sprintf("found %v", i.Keep), "a duration from 5m to 720h such as 24h")
	}
	if i.Answer < 1<<10 || i.Answer > 1<<20 {
		d.fail(position{key: "database.idempotency.answer"}, fmt.Sprintf("answer is %v", i.Answer), "a size from 1KiB to 1MiB")
	}
}
