package config

import "fmt"

// A WAF says how attacks are looked for.
type WAF struct {
	Mode     string `key:"mode" doc:"detect says what it finds, in log and metrics; block refuses it too." want:"detect or block"`
	Paranoia int    `key:"paranoia" default:"1" doc:"The Core Rule Set's paranoia level: more finds more, and more that is none." want:"a number from 1 to 4"`
	Exclude  []int  `key:"exclude" doc:"Rules that are wrong for this API, by their numbers." want:"the number of a rule, such as 942350"`
	pos      position
}

func (d *decoder) checkWAF(w WAF) {
	switch {
	case w.Mode == "":
		d.missing(w.pos, "mode", "detect or block")
	case w.Mode != "detect" && w.Mode != "block":
		d.fail(d.at(w.pos, "mode"), "mode is "+short(w.Mode), "detect or block")
	case w.Paranoia < 1 || w.Paranoia > 4:
		d.fail(d.at(w.pos, "paranoia"), fmt.Sprintf("paranoia is %d", w.Paranoia), "a number from 1 to 4")
	}
	for i, id := range w.Exclude {
		if id < 900_000 || id > 999_999 {
			d.fail(d.at(w.pos, fmt.Sprintf("exclude[%d]", i)), fmt.Sprintf("found %d", id), "the number of a rule of the Core Rule Set, such as 942350")
		}
	}
}
