package ec2

import (
	"cmp"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"windlass/actuators"
	"windlass/desired"
	"windlass/internal/awsapi"
)

// join makes nodes of the static ones and the instances, each machine once, sorted by name.
func join(set desired.NodeSet, instances []instance) actuators.Inventory {
	var inventory actuators.Inventory
	owners := map[string]string{} // names of static nodes, by instance id
	for _, static := range set.Static {
		node := staticNode(static)
		if i := slices.IndexFunc(instances, func(i instance) bool { return same(static, i) }); i >= 0 {
			node = merged(node, instances[i])
		}
		if owner := owners[node.ID]; node.ID != "" && owner != "" {
			inventory.Problems = append(inventory.Problems, fmt.Sprintf("static nodes %s and %s are both instance %s, and %[2]s is left out: remove one of them", owner, node.Name, node.ID))
			continue
		}
		owners[node.ID] = node.Name
		inventory.Nodes = append(inventory.Nodes, node)
	}
	rest := slices.DeleteFunc(slices.Clone(instances), func(i instance) bool { return owners[i.id] != "" })
	addInstances(&inventory, set, rest)
	slices.SortFunc(inventory.Nodes, func(a, b actuators.Node) int { return strings.Compare(a.Name, b.Name) })
	return inventory
}

// addInstances adds those instances that have the address asked for, and a problem for each that has not.
func addInstances(inventory *actuators.Inventory, set desired.NodeSet, instances []instance) {
	names := namesFor(instances, inventory.Nodes)
	for i, instance := range instances {
		node := instanceNode(instance, names[i], set.EC2.Address)
		if node.Address == "" {
			inventory.Problems = append(inventory.Problems, fmt.Sprintf("instance %s (%s) has no %s address and is left out: give it one, or set nodes.ec2.address", node.ID, node.Name, set.EC2.Address))
			continue
		}
		inventory.Nodes = append(inventory.Nodes, node)
	}
}

// staticNode is a machine as the fleet file has it. Its target is an instance id or an address, and the other kind of group
// knows it by its address, if that is one.
func staticNode(static desired.StaticNode) actuators.Node {
	node := actuators.Node{Name: static.Name, Address: static.Address, Zone: static.Zone, HostKey: static.HostKey}
	switch {
	case static.Target == "":
		node.Targets.IP = canonical(static.Address)
	case isInstanceID(static.Target):
		node.Targets = actuators.Targets{Instance: static.Target, IP: canonical(static.Address)}
	default:
		node.Targets.IP = canonical(static.Target)
	}
	return node
}

// canonical spells an address as a balancer does, which matters for IPv6; what is no address stays as it is.
func canonical(address string) string {
	if parsed, err := netip.ParseAddr(address); err == nil {
		return parsed.String()
	}
	return address
}

// merged adds what EC2 knows of a machine to what the fleet file says of it, which comes first where both speak.
func merged(node actuators.Node, i instance) actuators.Node {
	node.ID = i.id
	ip := node.Targets.IP
	if ip == canonical(node.Address) { // the file names no target of its own
		ip = cmp.Or(i.private, ip)
	}
	node.Targets = actuators.Targets{Instance: i.id, IP: ip}
	node.Zone = cmp.Or(node.Zone, i.zone)
	return node
}

func instanceNode(i instance, name string, kind desired.AddressKind) actuators.Node {
	node := actuators.Node{
		Name: name, ID: i.id, Address: i.private, Zone: i.zone,
		Targets: actuators.Targets{Instance: i.id, IP: i.private},
	}
	if i.name != name && !isInstanceID(i.name) { // an id means nobody but the instance that has it
		node.Alias = i.name
	}
	if kind == desired.PublicAddress {
		node.Address = i.public
	}
	return node
}

// same reports whether a static node is an instance: by its target or by any of the instance's addresses.
func same(static desired.StaticNode, i instance) bool {
	names := []string{i.id, i.private, i.public, i.privateDNS, i.publicDNS}
	is := func(name string) bool { return name != "" && slices.Contains(names, name) }
	return is(static.Target) || is(static.Address)
}

var (
	namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
	idPattern   = regexp.MustCompile(`^i-[0-9a-f]+$`)
)

func isInstanceID(s string) bool { return idPattern.MatchString(s) }

// namesFor names each instance by its tag Name where that is well-formed, looks like no instance id and is nobody else's
// in the fleet, and by its id otherwise.
func namesFor(instances []instance, others []actuators.Node) []string {
	uses := map[string]int{}
	for _, node := range others {
		uses[node.Name]++
	}
	names := make([]string, len(instances))
	for i, instance := range instances {
		names[i] = instance.name
		uses[names[i]]++
	}
	for i, name := range names {
		if uses[name] > 1 || !namePattern.MatchString(name) || isInstanceID(name) {
			names[i] = awsapi.OneLine(instances[i].id)
		}
	}
	return names
}
