package elb

import (
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

// targetStatus reads the health of a target group's member, by reason code where the state is ambiguous (G3). A target in a
// state that is not known here is neither in service nor gone. So is a healthy one with an administrative override, such as
// a zonal shift: it gets no new traffic, and no other state says that it does.
//
// States and reasons: https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetHealth.html
// Overrides: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/zonal-shift.html
func targetStatus(described types.TargetHealthDescription) (actuators.TargetStatus, string) {
	health := *described.TargetHealth
	reason := reasonLine(string(health.Reason), aws.ToString(health.Description))
	if o := described.AdministrativeOverride; health.State == types.TargetHealthStateEnumHealthy && o != nil && o.State != types.TargetAdministrativeOverrideStateEnumNoOverride {
		return actuators.TargetUnknown, awsapi.OneLine(fmt.Sprintf("administrative override %s: %s", o.State, aws.ToString(o.Description)))
	}
	switch health.State {
	case types.TargetHealthStateEnumInitial:
		return actuators.TargetInitial, reason
	case types.TargetHealthStateEnumHealthy:
		return actuators.TargetHealthy, reason
	case types.TargetHealthStateEnumUnhealthy, types.TargetHealthStateEnumUnhealthyDraining:
		return actuators.TargetUnhealthy, reason
	case types.TargetHealthStateEnumDraining:
		return actuators.TargetDraining, reason
	case types.TargetHealthStateEnumUnused:
		return unusedStatus(health.Reason), reason
	}
	return actuators.TargetUnknown, awsapi.OneLine(fmt.Sprintf("state %q %s", health.State, reason))
}

func unusedStatus(reason types.TargetHealthReasonEnum) actuators.TargetStatus {
	switch reason {
	case types.TargetHealthReasonEnumNotInUse, types.TargetHealthReasonEnumInvalidState, types.TargetHealthReasonEnumIpUnusable:
		return actuators.TargetUnused
	}
	return actuators.TargetUnknown
}

// instanceStatus reads the health of a Classic ELB's member. Its state alone is not enough: a draining instance is
// InService and only its description tells (G2).
//
// The descriptions: https://docs.aws.amazon.com/elasticloadbalancing/2012-06-01/APIReference/API_InstanceState.html
func instanceStatus(state v1types.InstanceState) (actuators.TargetStatus, string) {
	text := aws.ToString(state.Description)
	reason := reasonLine(aws.ToString(state.ReasonCode), text)
	switch {
	case described(state, "deregistration currently in progress"):
		return actuators.TargetDraining, reason
	case *state.State == "InService" && (text == "" || text == "N/A"):
		return actuators.TargetHealthy, ""
	case *state.State != "OutOfService":
		return actuators.TargetUnknown, awsapi.OneLine(fmt.Sprintf("state %q %s", *state.State, reason))
	case described(state, "registration is still in progress"), described(state, "has not passed the configured"):
		return actuators.TargetInitial, reason
	case described(state, "availability zone"), described(state, "in stopped state"), described(state, "in terminated state"), described(state, "in pending state"):
		return actuators.TargetUnused, reason
	}
	return actuators.TargetUnhealthy, reason
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
