// Package access says who may ask the agent over HTTP. It reads the file of --web-config, in the format of Prometheus's
// exporter-toolkit, makes of it how TLS is spoken, and holds requests to the users that it names.
//
// It knows users and client certificates. What they may ask for, and what stays open to everybody, is for package web.
package access
