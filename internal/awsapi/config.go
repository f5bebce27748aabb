package awsapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go/logging"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// An Observer is told of each request that left for AWS, retries included: the service as IAM calls it, the operation,
// and "ok", the API's error code, "HTTP502" and the like for an answer without one, or "network" when none came. It is
// called from many goroutines.
type Observer func(service, operation, code string)

// Load reads the SDK's own settings: environment, shared files, instance role. It asks nobody and it does not fail:
// settings that cannot be used are reported by each call made with them, since a fleet of static nodes without AWS load
// balancers needs none. Credentials that come or change later are used without another Load.
func Load(ctx context.Context, observe Observer) aws.Config {
	cfg, err := load(ctx)
	if err != nil {
		return Prepare(aws.Config{}, observe, err)
	}
	cfg.Credentials = &fresh{found: cfg.Credentials, find: func(ctx context.Context) (aws.CredentialsProvider, error) {
		again, err := load(ctx)
		return again.Credentials, err
	}}
	return Prepare(cfg, observe)
}

func load(ctx context.Context) (aws.Config, error) {
	cfg, err := config.LoadDefaultConfig(ctx, config.WithLogger(logging.Nop{}))
	if err != nil {
		return aws.Config{}, fmt.Errorf("%w: %w", errSettings, err)
	}
	return cfg, nil
}

// Prepare returns cfg for use by the adapters: requests are counted, a call that is given up tells the last answer it
// got, credentials from Load that AWS rejects are looked for again, nothing is sent without a region or when there are
// problems, an answer that begins before its request is done with is read whole, one that breaks off is asked for again, and the
// SDK's own log, which would go to standard error, is silent. The observer may be nil.
func Prepare(cfg aws.Config, observe Observer, problems ...error) aws.Config {
	if observe == nil {
		observe = func(string, string, string) {}
	}
	if cfg.Region == "" && len(problems) == 0 {
		problems = append(problems, errNoRegion)
	}
	refuse := errors.Join(problems...)
	renewable, _ := cfg.Credentials.(*fresh)
	cfg.Logger = logging.Nop{}
	cfg.APIOptions = append(slices.Clone(cfg.APIOptions), func(stack *middleware.Stack) error {
		return errors.Join(
			stack.Initialize.Add(remember(refuse), middleware.Before),
			stack.Build.Add(onlyRead, middleware.Before),
			stack.Deserialize.Add(count(observe), middleware.Before),
			stack.Deserialize.Add(renew(renewable), middleware.Before),
			stack.Deserialize.Add(whole, middleware.After),
		)
	})
	return cfg
}

// onlyRead has net/http read a request's body and not have it write itself. The SDK closes the body when the answer begins;
// net/http may look only then whether it holds more than was announced, on a busy machine mostly. A closed body that is read
// has ended, but one that writes itself says io.EOF for an error (smithy-go 1.28.9): net/http closes the connection, and what
// had not come of the answer is lost to "use of closed network connection".
var onlyRead = middleware.BuildMiddlewareFunc("windlass.OnlyRead", func(ctx context.Context, in middleware.BuildInput, next middleware.BuildHandler) (middleware.BuildOutput, middleware.Metadata, error) {
	if request, ok := in.Request.(*smithyhttp.Request); ok {
		if body, ok := request.GetStream().(io.ReadSeeker); ok {
			read, err := request.SetStream(struct{ io.ReadSeeker }{body})
			if err != nil {
				return middleware.BuildOutput{}, middleware.Metadata{}, err
			}
			in.Request = read
		}
	}
	return next.HandleBuild(ctx, in)
})

// whole has an answer that breaks off taken for a connection that did, which the SDK tries again. It reads an answer to its end before
// it looks at it (smithy-go 1.28.9), so that one whose end alone is lost is an error, too, and of its own it tries again only after some
// of the ways in which a connection breaks: not after "unexpected EOF", which is how a server that stops ends an answer in chunks.
var whole = middleware.DeserializeMiddlewareFunc("windlass.Whole", func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
	out, metadata, err := next.HandleDeserialize(ctx, in)
	if answer, ok := out.RawResponse.(*smithyhttp.Response); ok && answer.Response != nil && answer.Body != nil {
		answer.Body = breaking{answer.Body}
	}
	return out, metadata, err
})

// breaking is an answer's body whose errors are told as a broken connection's.
type breaking struct{ io.ReadCloser }

func (b breaking) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = &brokenOff{err}
	}
	return n, err
}

// brokenOff is that the connection ended amid an answer.
type brokenOff struct{ cause error }

func (e *brokenOff) Error() string { return "the answer broke off: " + e.cause.Error() }
func (e *brokenOff) Unwrap() error { return e.cause }

// ConnectionError is what the SDK's retryer asks for.
func (e *brokenOff) ConnectionError() bool { return true }

type lastAnswer struct{}

// remember makes a call that its context ended say first what its last attempt came to: the SDK drops that when the deadline
// comes while it waits for the next attempt.
func remember(refuse error) middleware.InitializeMiddleware {
	return middleware.InitializeMiddlewareFunc("windlass.Remember", func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
		if refuse != nil {
			return middleware.InitializeOutput{}, middleware.Metadata{}, refuse
		}
		var last error
		out, metadata, err := next.HandleInitialize(middleware.WithStackValue(ctx, lastAnswer{}, &last), in)
		if err != nil && last != nil && ctx.Err() != nil {
			err = fmt.Errorf("%w, then: %w", last, err)
		}
		return out, metadata, err
	})
}

// count stands around the reading of one attempt's answer, so that it sees what was sent and nothing else.
func count(observe Observer) middleware.DeserializeMiddleware {
	return middleware.DeserializeMiddlewareFunc("windlass.Count", func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
		out, metadata, err := next.HandleDeserialize(ctx, in)
		observe(services[awsmiddleware.GetServiceID(ctx)], awsmiddleware.GetOperationName(ctx), outcome(err))
		if last, ok := middleware.GetStackValue(ctx, lastAnswer{}).(*error); ok && err != nil && ctx.Err() == nil {
			*last = err
		}
		return out, metadata, err
	})
}

// renew drops credentials that AWS rejects, so that the next attempt looks for others. They may be nil.
func renew(credentials *fresh) middleware.DeserializeMiddleware {
	return middleware.DeserializeMiddlewareFunc("windlass.Renew", func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
		out, metadata, err := next.HandleDeserialize(ctx, in)
		if credentials != nil && rejected[Code(err)] {
			credentials.forget()
		}
		return out, metadata, err
	})
}

// services names what the SDK calls by id as IAM does, which is how people know permissions.
var services = map[string]string{
	"EC2":                       "ec2",
	"Elastic Load Balancing":    "elasticloadbalancing",
	"Elastic Load Balancing v2": "elasticloadbalancing",
}
