package server

import (
	"os"

	"go.yaml.in/yaml/v3"

	"meridian/config"
	"meridian/edge"
)

// A Sample is a request that works when pasted. An OpenAPI file names some, by
// x-meridian-try. The word $RANDOM in a body is for the shell.
type Sample struct {
	What   string `yaml:"what"`
	Method string `yaml:"method"`
	Path   string `yaml:"path"`
	Body   string `yaml:"body"`
}

// Samples returns what an OpenAPI file says to try, and its description.
func Samples(openapi string) (about string, try []Sample) {
	var doc struct {
		Info struct {
			Title string `yaml:"title"`
		} `yaml:"info"`
		Try []Sample `yaml:"x-meridian-try"`
	}
	b, err := os.ReadFile(openapi)
	if err != nil || yaml.Unmarshal(b, &doc) != nil {
		return "", nil // what is wrong with the file is the gateway's to say
	}
	return doc.Info.Title, doc.Try
}

// landing returns what the edge's page says of the API.
func landing(f *config.File) edge.Landing {
	about, try := Samples(f.API)
	l := edge.Landing{About: about}
	for _, s := range try {
		l.Try = append(l.Try, edge.Try{What: s.What, Method: s.Method, Path: s.Path, Body: s.Body})
	}
	return l
}
