package outbound

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// mostSecret is more bytes than any token, URL or password has.
const mostSecret = 64 << 10

// Secret reads a file that holds one line, anew each time, so that what is renewed needs no restart. Its errors name the file and nothing of what is in it.
func Secret(file string) (string, error) {
	info, err := os.Stat(file)
	if err == nil && (!info.Mode().IsRegular() || info.Size() > mostSecret) { // a pipe might be waited for for ever
		err = fmt.Errorf("%s is no file, or too long to be a secret", file)
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(file)
	}
	if err != nil {
		var at *fs.PathError
		if errors.As(err, &at) { // no colon after the name of the file: what follows one named like a secret would be taken for it
			err = fmt.Errorf("cannot read %s (%w)", file, at.Err)
		}
		return "", err
	}
	s := strings.TrimSpace(string(text))
	if s == "" || strings.ContainsAny(s, "\r\n") {
		return "", fmt.Errorf("%s must hold one line with the secret, and nothing else", file)
	}
	return s, nil
}
