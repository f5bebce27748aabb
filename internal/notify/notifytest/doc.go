// Package notifytest is a chat on this machine: it speaks Slack's API as far as windlass does, and keeps the threads that it is told, to be looked at or
// printed. The demo shows them, and tests ask it to behave as badly as the real one does.
package notifytest
