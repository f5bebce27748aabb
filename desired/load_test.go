package desired_test

import (
	"testing"
	"testing/fstest"

	"windlass/desired"
)

// repo is a deploy repo's tree of the given files: path, content, path, content …
func repo(files ...string) fstest.MapFS {
	tree := fstest.MapFS{}
	for i := 0; i < len(files); i += 2 {
		tree[files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
	}
	return tree
}

func load(t *testing.T, files ...string) desired.Tree {
	t.Helper()
	tree, err := desired.Load(repo(files...))
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

const smallest = `apiVersion: windlass/v1
kind: Fleet
name: web-live
release: v1.4.2
nodes: {ec2: {tags: {app: web, env: live}}}
loadBalancers: [{targetGroup: web-live}]
ssh: {user: deploy, sudo: true}
configure:
  activate:
    - {name: install, run: 'apt-get install -y "web=$WINDLASS_RELEASE"'}
health:
  - {name: serves, http: {port: 8080, path: /version, body: '{release}'}}
`

func TestLoadsTheSmallestFleet(t *testing.T) {
	tree := load(t, "fleets/web.yaml", smallest)
	if len(tree.Rejected) > 0 || tree.Fleets["web-live"] == nil {
		t.Fatalf("rejected: %v", tree.Rejected)
	}
}
