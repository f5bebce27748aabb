package actuators

import "time"

// Bounds of PollPace. The account's API quota sets them, not the balancer: 340 describes a minute were throttled (G9).
const (
	fastestPoll = 100 * time.Millisecond
	fastestJoin = 10 * time.Millisecond // at first: a join is often over within a poll or two
	slowestPoll = 15 * time.Second
	slowestJoin = 5 * time.Second
	promptJoin  = 2 * time.Second // within the first minute, in which most targets become healthy
)

// PollPace is how long to wait until a balancer is asked again about a target that is on its way.
//
// A draining target has a delay, the group's deregistration delay: within a short one it is asked at once and often, within
// a long one rarely at first and closer together towards its end, and ever more rarely once it is overdue. With no delay the
// target is waiting to be healthy: asked quickly at first, then slower up to two seconds, and to five after a minute. elapsed counts from the
// deregistration or registration. A network load balancer takes minutes for either (G6), so it is never asked in a hurry.
// The answer lies between 10 ms and 15 s.
func PollPace(delay, elapsed time.Duration, network bool) time.Duration {
	fastest, fastestJoin := fastestPoll, fastestJoin
	if network {
		fastest, fastestJoin = time.Second, time.Second
	}
	switch remaining := delay - elapsed; {
	case delay <= 0 && elapsed < time.Minute:
		return min(max(elapsed/3, fastestJoin), promptJoin)
	case delay <= 0:
		return slowestJoin
	case delay <= 2*time.Second && remaining > 0:
		return fastest
	case remaining > 0:
		return min(max(remaining/2, fastest, delay/300), slowestPoll)
	default:
		return min(max(-remaining/4, fastest), slowestPoll)
	}
}
