package awsapi

import (
	"context"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// fresh is credentials that are looked for again, in all the places that the SDK knows, once there are none or AWS rejected
// them. The SDK itself reads the shared files once and keeps for good what it found or did not find there, while people and
// tools put new keys into them: https://github.com/aws/aws-sdk/issues/107.
type fresh struct {
	find func(context.Context) (aws.CredentialsProvider, error)

	mu    sync.Mutex
	found aws.CredentialsProvider // nil: to be looked for
}

// Retrieve implements aws.CredentialsProvider. What was found keeps its own cache.
func (f *fresh) Retrieve(ctx context.Context) (aws.Credentials, error) {
	provider, err := f.provider(ctx)
	if err != nil {
		return aws.Credentials{}, err
	}
	credentials, err := provider.Retrieve(ctx)
	if err != nil {
		f.forget()
	}
	return credentials, err
}

func (f *fresh) provider(ctx context.Context) (aws.CredentialsProvider, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.found == nil {
		found, err := f.find(ctx)
		if err != nil {
			return nil, err
		}
		f.found = found
	}
	return f.found, nil
}

func (f *fresh) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.found = nil
}
