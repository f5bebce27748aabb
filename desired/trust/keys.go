package trust

import (
	"io/fs"
	"time"
)

// The files of a directory that says who may sign. One of the first two has to be there.
const (
	AllowedSigners = "allowed_signers" // as ssh-keygen(1) has them, "ALLOWED SIGNERS"
	Keyring        = "keyring.asc"     // armored GPG public keys
	RevokedKeys    = "revoked_keys"    // SSH public keys, one a line, that sign nothing
)

// Dir is the directory of a deploy repo that says who may sign its commits, and Releases the one who may sign the releases it deploys: those move no servers.
const (
	Dir      = "trust"
	Releases = "trust/releases"
)

// Keys are who may sign. The zero value is nobody.
type Keys struct{}

// Read reads who may sign from the directory that files are. Its error is everything that is wrong, each by its file and line, a *KeysError: a file with a line
// that is not understood is refused whole, and so are files by which nobody may sign.
func Read(files fs.FS) (*Keys, error) { panic("not written yet") }

// Notes names the keys of the files that cannot be used, and why; one line each. They are no error: an expired key beside good ones is how teams live.
func (k *Keys) Notes() []string { panic("not written yet") }

// Commit tells who signed the commit with these raw bytes (the object's content, without git's "commit SIZE" header). A certificate, a key's valid-after and
// valid-before are judged by the committer's date; now, the agent's own clock, says what lies in the future. The error is a *Refusal.
func (k *Keys) Commit(raw []byte, now time.Time) (Signer, error) { panic("not written yet") }

// Tag tells who signed the annotated tag with these raw bytes, by the tagger's date. The error is a *Refusal.
func (k *Keys) Tag(raw []byte, now time.Time) (Signer, error) { panic("not written yet") }
