package main

import (
	"log/slog"

	"github.com/coreos/go-systemd/v22/daemon"
)

// tellSupervisor tells the service manager that started this process, and wants to know (systemd's Type=notify), how far it is: one of
// daemon.SdNotifyReady and daemon.SdNotifyStopping. Where none wants to know, nothing happens (sd_notify(3)).
func tellSupervisor(state string, log *slog.Logger) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("cannot tell the service manager", "state", state, "error", err)
	}
}
