package awsapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

var (
	errNoRegion = errors.New("no AWS region is set: set AWS_REGION, or region in the profile that AWS_PROFILE names")
	errSettings = errors.New("the AWS settings cannot be read, correct them")
)

// ErrIncomplete is an answer that lacks what the API always sends. It is never read as "there is nothing" (law 1).
var ErrIncomplete = errors.New("the answer is incomplete or garbled; does something else than AWS answer? check the proxy and AWS_ENDPOINT_URL")

// Code is the error code an AWS API answered with; "" when err holds none.
func Code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) && api.ErrorCode() != "UnknownError" { // which is the SDK's word for an answer without a code
		return api.ErrorCode()
	}
	return ""
}

// refusedWith is the HTTP status of an answer that is no success, 0 when err holds none.
func refusedWith(err error) int {
	var answer *smithyhttp.ResponseError
	if errors.As(err, &answer) && answer.HTTPStatusCode() >= 300 {
		return answer.HTTPStatusCode()
	}
	return 0
}

// Refused reports whether an API refused a call for what it asks. Who asks, or how often, and the API's own trouble are something
// else: the same call for something else would have fared no better.
func Refused(err error) bool {
	code := Code(err)
	_, throttled := retry.DefaultThrottleErrorCodes[code]
	return code != "" && refusedWith(err) == http.StatusBadRequest && !lacksCredentials(err) && !throttled && !denied[code] && !rejected[code]
}

// Explain turns an error of an SDK call into one line that says what happened and what to do. The cause stays in its
// chain. Any other error, nil among them, is returned as it is.
func Explain(err error) error {
	var op *smithy.OperationError
	if !errors.As(err, &op) {
		return err
	}
	return &explained{text: OneLine(explain(err)), cause: err}
}

type explained struct {
	text  string
	cause error
}

func (e *explained) Error() string { return e.text }
func (e *explained) Unwrap() error { return e.cause }

func explain(err error) string {
	if code := Code(err); code != "" && !lacksCredentials(err) {
		return explainCode(err, code)
	}
	var unreadable *smithy.DeserializationError
	var unsent *smithyhttp.RequestSendError
	var broken *brokenOff
	switch call := action(err); {
	case errors.Is(err, errNoRegion):
		return errNoRegion.Error()
	case errors.Is(err, errSettings):
		return bare(err)
	case lacksCredentials(err):
		return "no AWS credentials for " + call + ": give this machine an instance role, or set AWS_PROFILE or AWS_ACCESS_KEY_ID (" + bare(err) + ")"
	case refusedWith(err) != 0:
		return fmt.Sprintf("the answer to %s is HTTP %d without a word of AWS: does something else answer? check the proxy and AWS_ENDPOINT_URL", call, refusedWith(err))
	case errors.As(err, &unsent) && !errors.Is(unsent, context.DeadlineExceeded) && !errors.Is(unsent, context.Canceled):
		return "cannot reach AWS for " + call + ": check the network, the proxy and AWS_ENDPOINT_URL (" + unsent.Err.Error() + ")"
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer to " + call + " in time: check the network, the proxy and AWS_ENDPOINT_URL"
	case errors.Is(err, context.Canceled):
		return call + " was interrupted"
	case errors.As(err, &broken):
		return "the connection to AWS broke off during the answer to " + call + ": check the network and the proxy (" + broken.cause.Error() + ")"
	case errors.As(err, &unreadable):
		return "the answer to " + call + " cannot be read: does something else than AWS answer? check the proxy and AWS_ENDPOINT_URL (" + unreadable.Err.Error() + ")"
	default:
		return call + " failed: " + bare(err)
	}
}

func explainCode(err error, code string) string {
	call := action(err)
	switch _, throttled := retry.DefaultThrottleErrorCodes[code]; {
	case throttled:
		return fmt.Sprintf("AWS throttles %s (%s): it is tried again; other users of the account's API quota may slow down", call, code)
	case denied[code]:
		return fmt.Sprintf("AWS denies %s (%s): allow it in the IAM policy of the agent's credentials", call, code)
	case rejected[code]:
		return fmt.Sprintf("AWS rejects the agent's credentials at %s (%s): renew them, and check this machine's clock", call, code)
	}
	var api smithy.APIError
	errors.As(err, &api)
	return fmt.Sprintf("AWS answers %s with %s: %s", call, code, api.ErrorMessage())
}

// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
var (
	denied   = map[string]bool{"AccessDenied": true, "AccessDeniedException": true, "UnauthorizedOperation": true}
	rejected = map[string]bool{
		"AuthFailure": true, "InvalidClientTokenId": true, "UnrecognizedClientException": true, "SignatureDoesNotMatch": true,
		"ExpiredToken": true, "ExpiredTokenException": true, "RequestExpired": true, "IncompleteSignature": true, "MissingAuthenticationToken": true,
	}
)

// action names the call as an IAM policy would: "ec2:DescribeInstances".
func action(err error) string {
	var op *smithy.OperationError
	errors.As(err, &op)
	return services[op.ServiceID] + ":" + op.OperationName
}

// bare drops the SDK's own "operation error …" prefix.
func bare(err error) string {
	var op *smithy.OperationError
	if errors.As(err, &op) {
		err = op.Err
	}
	return err.Error()
}

// lacksCredentials knows the SDK's two ways to say so; neither has a type.
func lacksCredentials(err error) bool {
	text := err.Error()
	return strings.Contains(text, "get identity: ") || strings.Contains(text, "no identity resolver") || strings.Contains(text, "resolve auth scheme: ")
}

var codePattern = regexp.MustCompile(`^[A-Za-z0-9.]{1,64}$`)

// outcome is an Observer's code: bounded, since it becomes a label and an answer may come from anybody.
func outcome(err error) string {
	code := Code(err)
	switch {
	case err == nil:
		return "ok"
	case code == "" && refusedWith(err) != 0:
		return fmt.Sprintf("HTTP%d", refusedWith(err))
	case code == "":
		return "network"
	case !codePattern.MatchString(code):
		return "other"
	}
	return code
}

// OneLine makes text from outside fit for a line: no control characters, at most 400 characters.
func OneLine(text string) string {
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }), " ")
	if runes := []rune(text); len(runes) > 400 {
		return string(runes[:399]) + "…"
	}
	return text
}
