package trust

import (
	"fmt"
	"time"
)

// A Signer is who signed an object, as the files that name them say.
type Signer struct {
	Name string // of the line or the key: principals, or a user id. For people alone: hostile text
	Key  string // fingerprint: SHA256:… of an SSH key, the hexadecimal one of a GPG key
}

// A Reason is why a signature does not count.
type Reason string

// The reasons there are. People are told Refusal.Text; a Reason is for who branches, and for tests.
const (
	Unsigned   Reason = "unsigned"    // there is no signature
	X509       Reason = "x509"        // signed by gpgsm or smimesign, which is not supported
	Multiple   Reason = "multiple"    // more than one signature
	Malformed  Reason = "malformed"   // a signature, or an object, that cannot be read
	UnknownKey Reason = "unknown_key" // nobody who is listed has that key
	Stale      Reason = "stale_key"   // somebody of that address is listed, with a key that lacks the subkey that signed
	NotAllowed Reason = "not_allowed" // the key is listed, but not for this: namespace, principal, authority, restriction
	Weak       Reason = "weak"        // an algorithm or a key that is too weak, or not supported
	Revoked    Reason = "revoked"
	Expired    Reason = "expired"     // the key or its line was not good at the object's time
	Bad        Reason = "bad"         // the signature does not fit what it signs
	Future     Reason = "future"      // made at a time that has not come: it is good by itself at Refusal.Again
	Backdated  Reason = "backdated"   // made before what it follows
	NoFiles    Reason = "trust_files" // the files that say who may sign what follows are not in order, or not there
)

// A Refusal is why nobody who may has signed an object.
type Refusal struct {
	Reason Reason
	Text   string    // one line, without the object's name: what is missing, and what to do
	Again  time.Time // when it may be good by itself; zero: never
}

func (r *Refusal) Error() string { return r.Text }

func refused(reason Reason, format string, args ...any) *Refusal {
	return &Refusal{Reason: reason, Text: fmt.Sprintf(format, args...)}
}

// Ahead is how far a signer's clock may be ahead of the agent's.
const Ahead = 5 * time.Minute
