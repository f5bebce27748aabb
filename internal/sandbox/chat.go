package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"windlass/internal/notify/notifytest"
)

// chatChannel is the channel of the agent's file, and the one of the chat.
const chatChannel = "deploys"

// openChat serves a chat that speaks Slack's API, and writes the agent's file of channels.
func (f *Fleet) openChat(context.Context) error {
	if !f.options.Chat {
		return nil
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(f.network.address(1), "0"))
	if err != nil {
		return fmt.Errorf("cannot serve the chat: %w", err)
	}
	const token = "xoxb-of-the-demo"
	f.Chat = &notifytest.Slack{Token: token}
	server := &http.Server{Handler: f.Chat, ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(listener) // always ends with ErrServerClosed
	}()
	f.onClose(func() error {
		err := server.Close()
		<-ended
		return err
	})
	channels := fmt.Sprintf("channels:\n  %s: {slack: {tokenFile: chat-token, channel: %[1]s, api: 'http://%s'}}\n", chatChannel, listener.Addr())
	return errors.Join(os.WriteFile(f.path("chat-token"), []byte(token), 0o600), os.WriteFile(f.path("notify.yaml"), []byte(channels), 0o600))
}

// chatTime is how long the chat may take to hear how a rollout ended.
const chatTime = 10 * time.Second

// told waits until the chat has so many threads and knows how the last one ended, and returns that one.
func (f *Fleet) told(threads int) (notifytest.Thread, error) {
	var last notifytest.Thread
	err := f.Chat.Await(chatTime, func(all []notifytest.Thread) bool {
		if len(all) < threads {
			return false
		}
		last = all[threads-1]
		replies := len(last.Replies)
		return replies > 0 && !strings.Contains(last.Replies[replies-1].Text, " begins, ") && !strings.ContainsAny(last.Head.Text, "█░") && !strings.Contains(last.Head.Text, unbegun)
	})
	if err != nil {
		return last, fmt.Errorf("the chat did not hear how it ended: %w", err)
	}
	return last, nil
}

// unbegun is in what the chat hears of a rollout that cannot begin.
const unbegun = "has not begun"

// heldUp waits until the chat has heard that a rollout cannot begin.
func (f *Fleet) heldUp() error {
	err := f.Chat.Await(chatTime, func(all []notifytest.Thread) bool {
		return len(all) > 0 && strings.Contains(all[len(all)-1].Head.Text, unbegun)
	})
	if err != nil {
		return fmt.Errorf("the chat did not hear that nothing may begin: %w", err)
	}
	return nil
}
