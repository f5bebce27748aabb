package aws

import "time"

// The states of a target, as DescribeTargetHealth names them.
const (
	Initial   = "initial"
	Healthy   = "healthy"
	Unhealthy = "unhealthy"
	Draining  = "draining"
	Unused    = "unused"
)

// The reasons for a state, as DescribeTargetHealth names them.
const (
	RegistrationInProgress   = "Elb.RegistrationInProgress"
	InitialHealthChecking    = "Elb.InitialHealthChecking"
	ResponseCodeMismatch     = "Target.ResponseCodeMismatch"
	Timeout                  = "Target.Timeout"
	FailedHealthChecks       = "Target.FailedHealthChecks"
	NotRegistered            = "Target.NotRegistered"
	NotInUse                 = "Target.NotInUse"
	InvalidState             = "Target.InvalidState"
	IPUnusable               = "Target.IpUnusable"
	DeregistrationInProgress = "Target.DeregistrationInProgress"
)

// TargetHealth is what a balancer says about a target. A healthy target has neither a reason nor a description.
type TargetHealth struct {
	State       string
	Reason      string
	Description string
	Override    string // state of an administrative override such as a zonal shift; empty: none is reported
	Anomaly     string // what anomaly detection found, of a target of HTTP or HTTPS; empty: normal
	Mitigated   bool   // anomaly mitigation is in effect
}

// because is the health that a reason stands for, worded as the API words it.
func because(state, reason string) TargetHealth {
	return TargetHealth{State: state, Reason: reason, Description: wording(reason)}
}

func wording(reason string) string {
	switch reason {
	case RegistrationInProgress:
		return "Target registration is in progress"
	case InitialHealthChecking:
		return "Initial health checks in progress"
	case ResponseCodeMismatch:
		return "Health checks failed with an unexpected response code"
	case Timeout:
		return "Request timed out"
	case FailedHealthChecks:
		return "Health checks failed"
	case NotRegistered:
		return "Target is not registered to the target group"
	case NotInUse:
		return "Target group is not configured to receive traffic from the load balancer"
	case InvalidState:
		return "Target is in the stopped state"
	case IPUnusable:
		return "Target IP address cannot be used by the load balancer"
	case DeregistrationInProgress:
		return "Target deregistration is in progress"
	}
	return ""
}

// HealthCheck says how targets are probed. Left out parts take the defaults of an application load balancer.
type HealthCheck struct {
	Protocol  string        // HTTP (any answer but 200 fails) or TCP (a connection suffices); default HTTP
	Path      string        // default /
	Interval  time.Duration // from one check to the next; default 30 s
	Timeout   time.Duration // default 5 s or the interval, whichever is less; the next check waits for one that takes longer
	Healthy   int           // passed checks in a row that make an unhealthy target healthy; default 5
	Unhealthy int           // failed checks in a row that make a target unhealthy; default 2
}

func (h HealthCheck) withDefaults() HealthCheck {
	h.Protocol = orElse(h.Protocol, "HTTP")
	h.Path = orElse(h.Path, "/")
	h.Interval = orElse(h.Interval, 30*time.Second)
	h.Timeout = orElse(h.Timeout, min(5*time.Second, h.Interval))
	h.Healthy = orElse(h.Healthy, 5)
	h.Unhealthy = orElse(h.Unhealthy, 2)
	return h
}

// orElse returns value, or fallback for the zero value.
func orElse[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}
