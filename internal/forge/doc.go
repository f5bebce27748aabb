// Package forge speaks to the places that git repositories live at: GitHub, GitLab, and Gitea with its kin (Forgejo). It reads the file that says which
// host is which and whose token is used there (--forges), tells from a repository's URL where on which host it is, names its pages for people, and
// writes commit statuses, deployments and requests to merge.
//
// A method makes one attempt; who calls it says when the next is made. What a forge knows of tags and checks, once somebody asks for that, is read
// here as well. What is told of a rollout is for package forge/report.
package forge
