// Package awsapi is what the AWS adapters share: how the SDK is set up, how its requests are counted, and what its errors
// say to people.
//
// It knows no API of its own. What is asked of a service, and what an answer means, belongs to actuators/elb and
// actuators/ec2.
package awsapi
