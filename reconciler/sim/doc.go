// Package sim is a fleet that does not exist: machines, balancers, an agent and bad luck in virtual time, made from a seed.
//
// The agent in it is the real one. Every call it makes goes through one choke point, which may fail it before or after its
// effect, keep it waiting, or never answer; after every effect the laws of the design are checked. The same seed gives the
// same story, so a seed that broke a law is kept in sim_test.go. It is imported by tests only, inside a synctest bubble.
//
// Stories come in four families, each with seeds of its own: small fleets with every kind of fault (story.go), the same with more bad
// luck and rollouts of every kind (wild.go), larger fleets with what is reported from the field (field.go), and fleets
// whose balancers spread a deregistration late, keep idle connections and have requests in hand (traffic.go). Any
// small fleet may have gates (gates.go), or be one that another waits for, whose claims are held against its records (promotion.go).
package sim
