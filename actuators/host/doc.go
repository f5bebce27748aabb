// Package host works on a fleet's nodes over SSH: it reads and writes the node record, places files, and runs steps and command checks.
//
// All that happens on a node is in the POSIX shell scripts in sh/; they need coreutils and util-linux there, and a login shell that
// takes quotes the way sh does. One call is one session; the one that runs a job writes its record first. Values reach the scripts as
// arguments, standard input and environment, never as text of a command. With ssh.sudo the scripts run under `sudo -n`.
//
// On the node a fleet has one directory, <stateDir>/<fleet>, readable by its owner alone:
//
//	record.json          the node record, replaced only under lock (laws 17, 18)
//	lock                 held by whoever changes something
//	job                  locked by the job that runs: the kernel lets go of it, whether the job ends, is killed, or the node reboots
//	job/current          the key of the newest job
//	job/<key>.*          output (first MiB), output.end (last 64 KiB of the rest), step, exit, disk (why a file could not be placed now)
//	job/group            the process group of the newest step
//	../machine-id        when it exists: the machine's identity instead of /etc/machine-id, for containers and cloned images
//
// A job runs in a session of its own (setsid) and outlives the connection that started it; calling Run again with its key attaches to
// it, or reads how it ended (law 19). A machine whose systemd-logind kills the processes of a user who logs out (KillUserProcesses=yes)
// ends it nevertheless, which shows as an interrupted job; enable lingering for that user.
//
// Sense watches who has connections to a node's service, through a script that lists them for as long as it is listened to.
//
// What to write into a record and which steps to run is decided by reconciler/plan; when to call is up to reconciler.
package host
