package hook

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A claim is what a request offers for a proof that its sender knows a secret: digests, any of which has to be that of the body, or the
// secret itself, in place of them. One with neither is never proven.
type claim struct {
	digests [][sha256.Size]byte
	before  string // what is signed in front of the body
	decoded bool   // the key is what the secret encodes, by the rules of Standard Webhooks
	token   string // the secret itself, where there are no digests
	header  string // where the proof is
	stamped bool   // stamp counts
	stamp   int64  // when it was signed, in Unix seconds
}

// signedBy makes the claim of a digest in hexadecimal in one header, behind a prefix.
func signedBy(header, prefix string) func(http.Header) (claim, error) {
	return func(h http.Header) (claim, error) {
		text, err := single(h, header)
		if err != nil {
			return claim{}, err
		}
		written, prefixed := strings.CutPrefix(text, prefix)
		if written == "" {
			return claim{}, fmt.Errorf("%s is empty: give the webhook the secret that the agent has", header)
		}
		digest, err := hex.DecodeString(written)
		if !prefixed || err != nil || len(digest) != sha256.Size {
			return claim{}, fmt.Errorf("%s is not of the form %s<64 hexadecimal digits>", header, prefix)
		}
		return claim{header: header, digests: [][sha256.Size]byte{[sha256.Size]byte(digest)}}, nil
	}
}

// single is the value of a header that has to be there once.
func single(h http.Header, name string) (string, error) {
	switch values := h.Values(name); len(values) {
	case 0:
		return "", fmt.Errorf("there is no %s: give the webhook the secret that the agent has", name)
	case 1:
		return values[0], nil
	default:
		return "", fmt.Errorf("%s is there %d times", name, len(values))
	}
}

const (
	tokenHeader     = "X-Gitlab-Token"
	signatureHeader = "Webhook-Signature"
)

// mostDigests is how many signatures one request may offer: one for each key of a sender who renews it.
const mostDigests = 8

// gitLabClaim is that of a signing token where there is one (Standard Webhooks: https://www.standardwebhooks.com), else of a secret token.
func gitLabClaim(h http.Header) (claim, error) {
	if len(h.Values(signatureHeader)) == 0 {
		token, err := single(h, tokenHeader)
		if err == nil && token == "" {
			err = fmt.Errorf("%s is empty: give the webhook the secret that the agent has", tokenHeader)
		}
		return claim{header: tokenHeader, token: token}, err
	}
	var said [3]string
	for i, name := range []string{signatureHeader, "Webhook-Id", "Webhook-Timestamp"} {
		text, err := single(h, name)
		if err != nil {
			return claim{}, err
		}
		said[i] = text
	}
	stamp, err := strconv.ParseInt(said[2], 10, 64)
	if err != nil {
		return claim{}, errors.New("Webhook-Timestamp is no number of seconds")
	}
	digests := versionOne(said[0])
	if len(digests) == 0 {
		return claim{}, fmt.Errorf("%s has no signature of the form v1,BASE64", signatureHeader)
	}
	return claim{header: signatureHeader, digests: digests, before: said[1] + "." + said[2] + ".", decoded: true, stamped: true, stamp: stamp}, nil
}

// versionOne are the signatures of a list that are of version 1; those of others are for other readers.
func versionOne(list string) (digests [][sha256.Size]byte) {
	for _, one := range strings.Fields(list) {
		text, ok := strings.CutPrefix(one, "v1,")
		digest, err := base64.StdEncoding.DecodeString(text)
		if ok && err == nil && len(digest) == sha256.Size && len(digests) < mostDigests {
			digests = append(digests, [sha256.Size]byte(digest))
		}
	}
	return digests
}

// leeway is how far the clock of a sender may be off, and for how long a request that is stamped can be played again.
const leeway = 5 * time.Minute

var errStale = errors.New("Webhook-Timestamp is more than 5 minutes off: set the clocks of the forge and of the agent's machine")

func (c claim) fresh(now time.Time) error {
	if most := int64(leeway / time.Second); c.stamped && (c.stamp < now.Unix()-most || c.stamp > now.Unix()+most) {
		return errStale
	}
	return nil
}

// proven reads the body to its end, keeping nothing of it, and reports whether one of the secrets proves the claim. The error is why the body
// could not be read. Which secret it was, and how much of a digest is right, does not show in the time that it takes.
func (c claim) proven(body io.Reader, secrets []string) (bool, error) {
	if c.token != "" {
		if _, err := io.Copy(io.Discard, body); err != nil {
			return false, err
		}
		return isOneOf(c.token, secrets), nil
	}
	macs := c.macs(secrets)
	to := make([]io.Writer, len(macs))
	for i, mac := range macs {
		to[i] = mac
	}
	if _, err := io.Copy(io.MultiWriter(to...), body); err != nil {
		return false, err
	}
	right := 0
	for _, mac := range macs {
		sum := mac.Sum(nil)
		for _, digest := range c.digests {
			right |= subtle.ConstantTimeCompare(sum, digest[:])
		}
	}
	return right == 1, nil
}

// isOneOf reports whether a token is one of the secrets; they are compared by their digests, so that not even a length shows.
func isOneOf(token string, secrets []string) bool {
	right, given := 0, sha256.Sum256([]byte(token))
	for _, secret := range secrets {
		digest := sha256.Sum256([]byte(secret))
		right |= subtle.ConstantTimeCompare(given[:], digest[:])
	}
	return right == 1
}

// macs are what signs the body with each of the secrets that can be the key.
func (c claim) macs(secrets []string) (all []hash.Hash) {
	for _, secret := range secrets {
		key := []byte(secret)
		if c.decoded {
			key = decoded(secret)
		}
		if len(key) == 0 {
			continue
		}
		mac := hmac.New(sha256.New, key)
		io.WriteString(mac, c.before) // it never fails
		all = append(all, mac)
	}
	return all
}

// leastKey is how many bytes a decoded key has at least; Standard Webhooks wants 24, and text that is no key decodes to few.
const leastKey = 16

// decoded is the key that a signing token encodes, as in whsec_BASE64; nil: it is none.
func decoded(secret string) []byte {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil || len(key) < leastKey {
		return nil
	}
	return key
}
