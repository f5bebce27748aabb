#!/usr/bin/env bash
# A call of aws-sdk-go-v2 over HTTP/1.1 can lose the rest of a large answer to its own side: "StatusCode: 200, deserialization failed, failed
# to decode response body, read tcp …: use of closed network connection".
#
# Where the two meet: smithy-go closes the request's body as soon as http.Client.Do returns, that is when the answer begins. net/http, once it
# has written as many bytes as were announced, copies the rest of the body to io.Discard to see that there is none. When the SDK was quicker
# (a connection whose write returns late: a busy machine), the closed body is asked to write itself, since smithy-go offers io.WriterTo for
# a stream that has it, and its WriteTo returns io.EOF where its Read would end the copy; an io.WriterTo has no end to report, so that
# io.Copy gives it back as an error. net/http then closes the connection under the answer. What fits into the first read of the answer is
# never lost, so that small answers hide it.
#
# One would have guessed that closing a body whose bytes have all been sent has no effect (so says the SDK's tracker), and that the error comes
# from the network. The SDK's standard retryer retries it since early 2025: an attempt and a piece of the retry quota are lost; with
# retries off the call is. The same stream without WriteTo (hidden by a struct of one field) is read whole.
#
# Versions: aws-sdk-go-v2 v1.47.7, service/elasticloadbalancingv2 v1.63.8, smithy-go v1.28.8, Go 1.26.8. Seen 2026-11-29.
set -euo pipefail

dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'MOD'
module closedbody

go 1.26

require (
	github.com/aws/aws-sdk-go-v2 v1.47.7
	github.com/aws/aws-sdk-go-v2/credentials v1.20.15
	github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2 v1.63.8
	github.com/aws/smithy-go v1.28.8
)
MOD
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// busy returns from a write a moment after the bytes have left, as on a machine that has other things to do.
type busy struct{ net.Conn }

func (b busy) Write(p []byte) (int, error) {
	defer time.Sleep(100 * time.Millisecond)
	return b.Conn.Write(p)
}

func onlyRead(stack *middleware.Stack) error {
	return stack.Build.Add(middleware.BuildMiddlewareFunc("OnlyRead", func(ctx context.Context, in middleware.BuildInput, next middleware.BuildHandler) (middleware.BuildOutput, middleware.Metadata, error) {
		request := in.Request.(*smithyhttp.Request)
		request, err := request.SetStream(struct{ io.ReadSeeker }{request.GetStream().(io.ReadSeeker)})
		if err != nil {
			return middleware.BuildOutput{}, middleware.Metadata{}, err
		}
		in.Request = request
		return next.HandleBuild(ctx, in)
	}), middleware.Before)
}

func main() {
	const half = 1 << 20
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "<DescribeTargetGroupsResponse><DescribeTargetGroupsResult>"+strings.Repeat(" ", half))
		w.(http.Flusher).Flush()
		time.Sleep(300 * time.Millisecond) // a large answer takes its time
		_, _ = io.WriteString(w, strings.Repeat(" ", half)+"</DescribeTargetGroupsResult></DescribeTargetGroupsResponse>")
	}))
	defer server.Close()

	call := func(options ...func(*middleware.Stack) error) error {
		transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			return busy{conn}, err
		}}
		defer transport.CloseIdleConnections()
		client := elb.New(elb.Options{
			Region: "eu-central-1", BaseEndpoint: &server.URL,
			Credentials: aws.NewCredentialsCache(credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", "")),
			HTTPClient:  &http.Client{Transport: transport}, Retryer: aws.NopRetryer{}, APIOptions: options,
		})
		_, err := client.DescribeTargetGroups(context.Background(), nil)
		return err
	}
	asIs, read := call(), call(onlyRead)
	fmt.Println("as the SDK sends it:     ", asIs)
	fmt.Println("its body without WriteTo:", read)
	if asIs == nil || !strings.Contains(asIs.Error(), "use of closed network connection") || read != nil {
		fmt.Println("the behaviour has changed")
		os.Exit(1)
	}
}
GO
export GOFLAGS=-mod=mod GOWORK=off
go mod tidy >/dev/null 2>&1
go version
go list -m github.com/aws/aws-sdk-go-v2 github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2 github.com/aws/smithy-go
go run .
