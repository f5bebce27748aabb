package notify

import (
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"net/mail"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"windlass/desired"
	"windlass/internal/outbound"
	"windlass/internal/redact"
)

//go:embed notify.schema.yaml
var schemaSource []byte

var description = desired.Describe(schemaSource, "the file", "channels: {}", map[string]func(string) error{
	"place":        func(s string) error { _, err := outbound.ParseURL(s); return err },
	"mail-address": checkMail,
})

// A File is what --notify says: channels by name, each with exactly one kind of place.
type File struct {
	Channels map[string]Entry
}

// An Entry is one channel.
type Entry struct {
	Slack        *SlackPlace
	GoogleChat   *URLPlace
	Teams        *URLPlace
	Email        *EmailPlace
	Alertmanager *AlertmanagerPlace
	Webhook      *WebhookPlace
}

// A SlackPlace is a channel at Slack, or at what speaks like it.
type SlackPlace struct{ TokenFile, Channel, API string }

// A URLPlace is a place whose address is a secret.
type URLPlace struct{ URLFile string }

// An EmailPlace is a mail server and those to write to.
type EmailPlace struct {
	SMTP, From         string
	To                 []string
	User, PasswordFile string // empty: the server asks for none
	TLS                string // starttls, implicit or none
}

// An AlertmanagerPlace is the address of an Alertmanager.
type AlertmanagerPlace struct{ URL string }

// A WebhookPlace takes events that are signed with a secret.
type WebhookPlace struct{ URLFile, SecretFile string }

var channelName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// Read reads the file. Its error is everything that is wrong, by line and column; files that it names are relative to its directory, and must be
// readable.
func Read(path string) (File, error) {
	f, err := Parse(path)
	if err != nil {
		return f, err
	}
	for _, name := range slices.Sorted(maps.Keys(f.Channels)) {
		if err := f.Channels[name].check(filepath.Dir(path)); err != nil {
			return f, fmt.Errorf("%s: channel %q: %w", filepath.Base(path), name, err)
		}
	}
	return f, nil
}

// Parse is Read for who tells nobody: the files that it names need not be there.
func Parse(path string) (File, error) {
	var f File
	text, err := os.ReadFile(path)
	if err != nil {
		return f, err
	}
	if wrong := description.Read(filepath.Base(path), text, &f); len(wrong) > 0 {
		for i := range wrong {
			wrong[i].Message = redact.Line(wrong[i].Message) // it quotes what is there
		}
		return f, wrong
	}
	for _, name := range slices.Sorted(maps.Keys(f.Channels)) {
		if !channelName.MatchString(name) {
			return f, fmt.Errorf("%s: channel %q: the name must be 1 to 63 small letters, digits and hyphens, and begin with a letter or digit", filepath.Base(path), name)
		}
	}
	return f, nil
}

// check says what a schema cannot, and makes the names of files absolute.
func (e Entry) check(dir string) error {
	var files []*string
	switch {
	case e.Slack != nil:
		files = []*string{&e.Slack.TokenFile}
	case e.GoogleChat != nil:
		files = []*string{&e.GoogleChat.URLFile}
	case e.Teams != nil:
		files = []*string{&e.Teams.URLFile}
	case e.Email != nil:
		files = []*string{&e.Email.PasswordFile}
	case e.Webhook != nil:
		files = []*string{&e.Webhook.URLFile, &e.Webhook.SecretFile}
	}
	for _, file := range files {
		if *file == "" {
			continue
		}
		if !filepath.IsAbs(*file) {
			*file = filepath.Join(dir, *file)
		}
		if _, err := outbound.Secret(*file); err != nil {
			return err
		}
	}
	return nil
}

func checkMail(a string) error {
	parsed, err := mail.ParseAddress(a)
	if err != nil || strings.ContainsAny(a, "\r\n") || !strings.Contains(parsed.Address, "@") {
		return errors.New("it must be a mail address such as ops@example.com")
	}
	return nil
}
