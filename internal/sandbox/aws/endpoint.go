package aws

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// account is the one that owns everything here.
const account = "123456789012"

// maxRequest is the largest form that is read, in bytes.
const maxRequest = 1 << 20

// operation answers one action. It is called with the mutex held and returns a struct for encoding/xml.
type operation func(query) (any, error)

func (c *Cloud) allOperations() map[string]operation {
	return map[string]operation{
		"ec2:DescribeInstances": c.describeInstances,

		"elbv2:DescribeLoadBalancers":          c.describeLoadBalancers,
		"elbv2:DescribeLoadBalancerAttributes": c.describeLoadBalancerAttributes,
		"elbv2:DescribeTargetGroups":           c.describeTargetGroups,
		"elbv2:DescribeTargetGroupAttributes":  c.describeTargetGroupAttributes,
		"elbv2:DescribeTargetHealth":           c.describeTargetHealth,
		"elbv2:RegisterTargets":                c.registerTargets,
		"elbv2:DeregisterTargets":              c.deregisterTargets,

		"elb:DescribeLoadBalancers":               c.describeClassics,
		"elb:DescribeLoadBalancerAttributes":      c.describeClassicAttributes,
		"elb:DescribeInstanceHealth":              c.describeInstanceHealth,
		"elb:RegisterInstancesWithLoadBalancer":   c.registerInstances,
		"elb:DeregisterInstancesFromLoadBalancer": c.deregisterInstances,
	}
}

// service tells the services apart that share the endpoint.
type service struct {
	name      string
	namespace string
}

func serviceOf(version string) service {
	switch version {
	case "2012-06-01":
		return service{"elb", "http://elasticloadbalancing.amazonaws.com/doc/2012-06-01/"}
	case "2015-12-01":
		return service{"elbv2", "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/"}
	}
	return service{"ec2", "http://ec2.amazonaws.com/doc/2016-11-15/"}
}

// serveAPI answers one call. A caller that is to get no answer sees the connection cut.
func (c *Cloud) serveAPI(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxRequest)
	if err := r.ParseForm(); err != nil {
		http.Error(w, "cannot read the form: "+err.Error(), http.StatusBadRequest)
		return
	}
	to, name := serviceOf(r.Form.Get("Version")), r.Form.Get("Action")
	action := to.name + ":" + name
	result, err := c.call(r.Context(), action, r)
	c.note(action, r.Form, err)
	w.Header().Set("Content-Type", "text/xml")
	var refused *Error
	switch {
	case err == nil:
		to.answer(w, name, result)
	case errors.As(err, &refused):
		to.refuse(w, refused)
	default:
		panic(http.ErrAbortHandler)
	}
}

func (c *Cloud) call(ctx context.Context, action string, r *http.Request) (any, error) {
	if r.Header.Get("Authorization") == "" {
		return nil, &Error{"MissingAuthenticationToken", "Request is missing Authentication Token", http.StatusForbidden}
	}
	operation := c.operations[action]
	if operation == nil {
		return nil, refusal("InvalidAction", "The action %s is not valid for this web service.", r.Form.Get("Action"))
	}
	faults, err := c.admit(ctx, action)
	if err != nil {
		return nil, err
	}
	if err := faults.see(faults.Before, action, r.Form); err != nil {
		return nil, err
	}
	result, err := c.perform(operation, r.Form, faults)
	if err != nil {
		return nil, err
	}
	return result, faults.see(faults.After, action, r.Form)
}

func (f Faults) see(hook func(string, url.Values) error, action string, form url.Values) error {
	if hook == nil {
		return nil
	}
	return hook(action, form)
}

func (c *Cloud) perform(operation operation, form url.Values, faults Faults) (any, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	return operation(query{Values: form, now: now, asOf: now.Add(-faults.ReadLag), pageSize: faults.PageSize})
}

// requestID is the same for every call; nothing depends on it.
const requestID = "00000000-0000-4000-8000-000000000000"

// answer writes a result in the service's envelope: EC2 has the result's elements at the top, the others one level down.
func (s service) answer(w http.ResponseWriter, action string, result any) {
	root := xml.StartElement{Name: xml.Name{Space: s.namespace, Local: action + "Response"}}
	encoder := xml.NewEncoder(w)
	if s.name == "ec2" {
		_ = encoder.EncodeElement(result, root) // fails only when the caller has gone
		return
	}
	body := xml.StartElement{Name: xml.Name{Local: action + "Result"}}
	_ = errors.Join(
		encoder.EncodeToken(root),
		encoder.EncodeElement(result, body),
		encoder.EncodeElement(responseMetadata{requestID}, xml.StartElement{Name: xml.Name{Local: "ResponseMetadata"}}),
		encoder.EncodeToken(root.End()),
		encoder.Flush(),
	)
}

type responseMetadata struct {
	RequestID string `xml:"RequestId"`
}

type ec2Failure struct {
	XMLName   xml.Name `xml:"Response"`
	Code      string   `xml:"Errors>Error>Code"`
	Message   string   `xml:"Errors>Error>Message"`
	RequestID string   `xml:"RequestID"`
}

type elbFailure struct {
	XMLName   xml.Name `xml:"ErrorResponse"`
	Type      string   `xml:"Error>Type"`
	Code      string   `xml:"Error>Code"`
	Message   string   `xml:"Error>Message"`
	RequestID string   `xml:"RequestId"`
}

func (s service) refuse(w http.ResponseWriter, e *Error) {
	var body any = elbFailure{Type: "Sender", Code: e.Code, Message: e.Message, RequestID: requestID}
	if s.name == "ec2" {
		body = ec2Failure{Code: e.Code, Message: e.Message, RequestID: requestID}
	}
	w.WriteHeader(orElse(e.Status, http.StatusBadRequest))
	_ = xml.NewEncoder(w).Encode(body) // fails only when the caller has gone
}

// arn names a resource of the load balancing service.
func (c *Cloud) arn(resource string) string {
	return fmt.Sprintf("arn:aws:elasticloadbalancing:%s:%s:%s", c.region, account, strings.TrimPrefix(resource, "/"))
}
