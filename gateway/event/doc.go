// Package event turns an HTTP request into the event that a function gets, and
// the function's output into an HTTP answer, in API Gateway's payload formats
// 2.0 and 1.0 for HTTP APIs.
//
// Fields stand in the order of the AWS documentation and maps in the order of
// their keys, so that equal requests make equal bytes. It is a pure function
// of its input; what a caller may not see has been taken out before.
package event

// A Format is a version of the payload format.
type Format string

// The formats.
const (
	V2 Format = "2.0"
	V1 Format = "1.0"
)

// MaxSize is the size in bytes of the largest event that a function takes, and
// of the largest output that it may give (AWS Lambda's synchronous payload).
const MaxSize = 6 << 20
