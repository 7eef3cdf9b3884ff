package config

import (
	"fmt"
	"os"
)

// An AccessLog says where each edge writes a line for each request.
type AccessLog struct {
	To      string  `key:"to" doc:"stdout, or a folder: in it a file with the name of the node." want:"stdout, or a folder such as ./log"`
	Format  string  `key:"format" default:"json" doc:"json, with names of its own; cloudfront, with the names and result types of CloudFront's standard logs." want:"json or cloudfront"`
	Sample  float64 `key:"sample" default:"100" doc:"Percent of the requests that are written." want:"a number over 0, at most 100"`
	Cookies bool    `key:"cookies" default:"false" doc:"Write the names of cookies."`
	Secrets bool    `key:"secrets" default:"false" doc:"Write the values of cookies, signatures and tokens that stand in URLs, too."`
	Size    Size    `key:"size" default:"100MiB" doc:"Of one file." want:"a size from 1MiB to 100GiB"`
	Keep    int     `key:"keep" default:"5" doc:"Older files that stay beside it." want:"a number from 0 to 1000"`
	pos     position
}

func (d *decoder) checkAccessLog(l AccessLog) {
	const to = "stdout, or a folder such as ./log"
	if l.To == "" {
		d.missing(l.pos, "to", to)
	} else if st, err := os.Stat(l.To); l.To != "stdout" && !d.elsewhere && err == nil && !st.IsDir() {
		d.fail(d.at(l.pos, "to"), l.To+" is a file", to)
	}
	if l.Format != "json" && l.Format != "cloudfront" {
		d.fail(d.at(l.pos, "format"), "format is "+short(l.Format), "json or cloudfront")
	}
	if l.Sample <= 0 || l.Sample > 100 {
		d.fail(d.at(l.pos, "sample"), fmt.Sprintf("sample is %v", l.Sample), "a number over 0, at most 100")
	}
	if l.Size < 1<<20 || l.Size > 100<<30 {
		d.fail(d.at(l.pos, "size"), "size is "+l.Size.String(), "a size from 1MiB to 100GiB")
	}
	if l.Keep < 0 || l.Keep > 1000 {
		d.fail(d.at(l.pos, "keep"), fmt.Sprintf("keep is %d", l.Keep), "a number from 0 to 1000")
	}
}
