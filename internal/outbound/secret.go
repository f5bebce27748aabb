package outbound

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// mostSecret is more bytes than any token, URL or password has, and a file of some of them.
const mostSecret = 64 << 10

// Secret reads a file that holds one line, anew each time, so that what is renewed needs no restart. Its errors name the file and nothing of what is in it.
func Secret(file string) (string, error) {
	text, err := secretText(file)
	if err != nil {
		return "", err
	}
	s := strings.TrimSpace(text)
	if s == "" || strings.ContainsAny(s, "\r\n") {
		return "", fmt.Errorf("%s must hold one line with the secret, and nothing else", file)
	}
	return s, nil
}

// Secrets reads a file that holds a secret in each line that is not blank, one at least and most at most, as Secret reads one. While a secret is
// renewed, the old one and the new one are both there.
func Secrets(file string, most int) ([]string, error) {
	text, err := secretText(file)
	if err != nil {
		return nil, err
	}
	var all []string
	for line := range strings.Lines(text) {
		if s := strings.TrimSpace(line); s != "" {
			all = append(all, s)
		}
	}
	if len(all) == 0 || len(all) > most {
		return nil, fmt.Errorf("%s must hold a secret in each line, and between 1 and %d of them", file, most)
	}
	return all, nil
}

func secretText(file string) (string, error) {
	info, err := os.Stat(file)
	if err == nil && (!info.Mode().IsRegular() || info.Size() > mostSecret) { // a pipe might be waited for for ever
		err = fmt.Errorf("%s is no file, or too long to be a secret", file)
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(file)
	}
	var at *fs.PathError
	if errors.As(err, &at) { // no colon after the name of the file: what follows one named like a secret would be taken for it
		err = fmt.Errorf("cannot read %s (%w)", file, at.Err)
	}
	return string(text), err
}
