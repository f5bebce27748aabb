package elb

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	v1types "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing/types"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"windlass/actuators"
	"windlass/internal/awsapi"
)

// notRegistered tells the one kind of "unused" that is no membership from those that are (G3).
func notRegistered(health types.TargetHealth) bool {
	return health.State == types.TargetHealthStateEnumUnused && health.Reason == types.TargetHealthReasonEnumNotRegistered
}

// targetStatus reads the health of a target group's member, by reason code where the state is ambiguous (G3), and whether that
// speaks of the target itself (law 11). A target in a state that is not known here is neither in service nor gone. So is a healthy
// one that an override keeps from new traffic, which no other state says of it; overrides that say nothing of the kind are a note.
//
// States and reasons: https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetHealth.html
func targetStatus(described types.TargetHealthDescription) (status actuators.TargetStatus, reason string, atFault bool) {
	health, override := *described.TargetHealth, described.AdministrativeOverride
	reason = reasonLine(string(health.Reason), aws.ToString(health.Description))
	switch health.State {
	case types.TargetHealthStateEnumInitial:
		return actuators.TargetInitial, reason, false
	case types.TargetHealthStateEnumHealthy:
		if withholdsTraffic(override) {
			return actuators.TargetUnknown, overrideLine(override), false
		}
		return actuators.TargetHealthy, cmp.Or(both(overrideLine(override), anomalyLine(described.AnomalyDetection)), reason), false
	case types.TargetHealthStateEnumUnhealthy, types.TargetHealthStateEnumUnhealthyDraining:
		return actuators.TargetUnhealthy, reason, speaksOfTarget(health.Reason) && !withholdsTraffic(override)
	case types.TargetHealthStateEnumDraining:
		return actuators.TargetDraining, reason, false
	case types.TargetHealthStateEnumUnused:
		return unusedStatus(health.Reason), reason, false
	}
	return actuators.TargetUnknown, awsapi.OneLine(fmt.Sprintf("state %q %s", health.State, reason)), false
}

// speaksOfTarget tells the reasons that a target gives for being unhealthy from those of the balancer and of the world (G46).
func speaksOfTarget(reason types.TargetHealthReasonEnum) bool {
	switch reason {
	case types.TargetHealthReasonEnumResponseCodeMismatch, types.TargetHealthReasonEnumTimeout, types.TargetHealthReasonEnumFailedHealthChecks:
		return true
	}
	return false
}

// withholdsTraffic reports whether an override keeps new traffic from a target, as far as is known: a zonal shift does, and so may
// one that is not known here. "Delegated to DNS" only says that this API cannot see the shifts of a network load balancer, and
// "unknown" or nothing at all that the overrides could not be looked up.
//
// https://docs.aws.amazon.com/elasticloadbalancing/latest/application/zonal-shift.html
// https://docs.aws.amazon.com/elasticloadbalancing/latest/network/zonal-shift.html
func withholdsTraffic(override *types.AdministrativeOverride) bool {
	if override == nil {
		return false
	}
	switch override.State {
	case types.TargetAdministrativeOverrideStateEnumNoOverride,
		types.TargetAdministrativeOverrideStateEnumZonalShiftDelegatedToDns,
		types.TargetAdministrativeOverrideStateEnumUnknown, "":
		return false
	}
	return true
}

// overrideLine is what people read of an override; "" when there is none.
func overrideLine(override *types.AdministrativeOverride) string {
	if override == nil || override.State == types.TargetAdministrativeOverrideStateEnumNoOverride {
		return ""
	}
	state := cmp.Or(string(override.State), "without a state")
	return awsapi.OneLine("administrative override " + reasonLine(state, aws.ToString(override.Description)))
}

// mitigated reports whether an application load balancer sends a target less traffic for what it found in its answers.
//
// https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-target-groups.html#automatic-target-weights
func mitigated(found *types.AnomalyDetection) bool {
	return found != nil && found.MitigationInEffect == types.MitigationInEffectEnumYes
}

// anomalyLine is what people read of anomaly detection; "" when nothing was found, or what is not known here.
func anomalyLine(found *types.AnomalyDetection) string {
	switch {
	case mitigated(found):
		return "anomaly mitigation is in effect: it gets less traffic"
	case found != nil && found.Result == types.AnomalyResultEnumAnomalous:
		return "anomaly detection finds it anomalous: it fails more requests than others"
	}
	return ""
}

func both(one, other string) string {
	if one == "" || other == "" {
		return one + other
	}
	return one + "; " + other
}

func unusedStatus(reason types.TargetHealthReasonEnum) actuators.TargetStatus {
	switch reason {
	case types.TargetHealthReasonEnumNotInUse, types.TargetHealthReasonEnumInvalidState, types.TargetHealthReasonEnumIpUnusable:
		return actuators.TargetUnused
	}
	return actuators.TargetUnknown
}

// instanceStatus reads the health of a Classic ELB's member, and whether that speaks of the instance itself (law 11). Its state
// alone is not enough: a draining instance is InService and only its description tells (G2).
//
// The descriptions: https://docs.aws.amazon.com/elasticloadbalancing/2012-06-01/APIReference/API_InstanceState.html
func instanceStatus(state v1types.InstanceState) (status actuators.TargetStatus, reason string, atFault bool) {
	code, text := aws.ToString(state.ReasonCode), aws.ToString(state.Description)
	reason = reasonLine(code, text)
	switch {
	case described(state, "deregistration currently in progress"):
		return actuators.TargetDraining, reason, false
	case *state.State == "InService" && (text == "" || text == "N/A"):
		return actuators.TargetHealthy, "", false
	case *state.State != "OutOfService":
		return actuators.TargetUnknown, awsapi.OneLine(fmt.Sprintf("state %q %s", *state.State, reason)), false
	case described(state, "registration is still in progress"), described(state, "has not passed the configured"):
		return actuators.TargetInitial, reason, false
	case described(state, "availability zone"), described(state, "in stopped state"), described(state, "in terminated state"), described(state, "in pending state"):
		return actuators.TargetUnused, reason, false
	}
	return actuators.TargetUnhealthy, reason, code == "Instance" && described(state, "has failed") && described(state, "health checks")
}

func described(state v1types.InstanceState, phrase string) bool {
	return strings.Contains(strings.ToLower(aws.ToString(state.Description)), phrase)
}

// reasonLine is a code and its description as people read them: "Target.Timeout: Request timed out".
func reasonLine(code, description string) string {
	switch {
	case code == "" || code == "N/A":
		return awsapi.OneLine(description)
	case description == "":
		return awsapi.OneLine(code)
	}
	return awsapi.OneLine(code + ": " + description)
}
