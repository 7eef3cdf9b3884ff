// Actor is a Lambda function that does what its event says. It is written as
// any function is, and knows nothing of what runs it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

type event struct {
	Do   string `json:"do"`
	Text string `json:"text"`
	Addr string `json:"addr"` // of the test, to hold on
	MiB  int    `json:"mib"`
}

type reply struct {
	Text      string   `json:"text"`
	PID       int      `json:"pid"`
	UID       int      `json:"uid"`
	RequestID string   `json:"request_id"`
	ARN       string   `json:"arn"`
	Trace     string   `json:"trace"`
	LeftMS    int64    `json:"left_ms"`
	Env       []string `json:"env"`
	Dir       string   `json:"dir"`
}

func main() {
	switch os.Getenv("INIT") {
	case "exit":
		fmt.Fprintln(os.Stderr, "cannot open the thing that I need")
		os.Exit(7)
	case "hang":
		hold(event{Addr: os.Getenv("INIT_ADDR")})
	}
	lambda.Start(act)
}

func act(ctx context.Context, e event) (reply, error) {
	lc, _ := lambdacontext.FromContext(ctx)
	deadline, _ := ctx.Deadline()
	trace, _ := ctx.Value("x-amzn-trace-id").(string)
	dir, _ := os.Getwd()
	r := reply{
		Text: e.Text, PID: os.Getpid(), UID: os.Getuid(), RequestID: lc.AwsRequestID, ARN: lc.InvokedFunctionArn,
		Trace: trace, LeftMS: time.Until(deadline).Milliseconds(), Env: os.Environ(), Dir: dir,
	}
	var err error
	switch e.Do {
	case "echo":
	case "quiet":
		r.Env = nil
	case "say":
		fmt.Println(e.Text)
	case "hold":
		err = hold(e)
	case "exit":
		fmt.Fprintln(os.Stderr, "last words: "+e.Text)
		os.Exit(3)
	case "panic":
		panic(e.Text)
	case "fail":
		err = errors.New(e.Text)
	case "big":
		r.Text = strings.Repeat("x", e.MiB<<20)
	case "take":
		err = take(e)
	case "read":
		var b []byte
		b, err = os.ReadFile(e.Text)
		r.Text = fmt.Sprintf("%d bytes", len(b))
	case "write":
		err = os.WriteFile(e.Text, []byte("x"), 0o600)
	case "get":
		r.Text, err = get(e.Text)
	default:
		err = fmt.Errorf("cannot %q", e.Do)
	}
	return r, err
}

// hold tells the test that it is here, and stays until the test lets it go.
func hold(e event) error {
	c, err := net.Dial("tcp", e.Addr)
	if err != nil {
		return err
	}
	defer c.Close()
	fmt.Fprintf(c, "%s\n", e.Text)
	_, err = io.ReadFull(c, make([]byte, 1))
	return err
}

// take takes memory and touches it, and then holds.
func take(e event) error {
	b := make([]byte, e.MiB<<20)
	for i := 0; i < len(b); i += 4096 {
		b[i] = 1
	}
	err := hold(e)
	fmt.Fprint(io.Discard, b[0])
	return err
}

func get(url string) (string, error) {
	res, err := http.Get(url)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return string(b), err
}
