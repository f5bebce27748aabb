package trust

import "time"

// A Signer is who signed an object, as the files that name them say.
type Signer struct {
	Name string // of the line or the key: a principal, or a user id. For people alone: hostile text
	Key  string // fingerprint: SHA256:… of an SSH key, the hexadecimal one of a GPG key
}

// A Reason is why a signature does not count.
type Reason string

// The reasons there are. People are told Refusal.Text; a Reason is for who branches, and for tests.
const (
	Unsigned    Reason = "unsigned"    // there is no signature
	Lightweight Reason = "lightweight" // a tag that is no object, and cannot be signed
	X509        Reason = "x509"        // signed by gpgsm or smimesign, which is not supported
	Multiple    Reason = "multiple"    // more than one signature
	Malformed   Reason = "malformed"   // a signature that cannot be read, or an object
	UnknownKey  Reason = "unknown_key" // nobody who is listed has that key
	Stale       Reason = "stale_key"   // the listed key lacks the subkey that signed: export it again
	NotAllowed  Reason = "not_allowed" // the key is listed, but not for this: namespace, principal, time, authority
	Weak        Reason = "weak"        // an algorithm or a key that is too weak, or not supported
	Revoked     Reason = "revoked"
	Expired     Reason = "expired"
	Bad         Reason = "bad"     // the signature does not fit what it signs
	Future      Reason = "future"  // of a time that has not come: it is judged again
	Date        Reason = "date"    // the commit's time does not fit those before it
	NoKeys      Reason = "no_keys" // the files that say who may sign are missing, empty, or cannot be read
)

// A Refusal is why nobody who may has signed an object.
type Refusal struct {
	Reason Reason
	Text   string    // one line: what is missing and what to do, without the object's name
	Again  time.Time // when it may be good by itself; zero: never
}

func (r *Refusal) Error() string { return r.Text }
