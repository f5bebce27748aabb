package host

import "windlass/actuators"

// SenseCommand is the command line of a sensor, for those who run it without an sshd.
func SenseCommand(at actuators.Place, sensor string, service actuators.Service) string {
	return commandLine(at, senseScript, senseArguments(sensor, service)...)
}
