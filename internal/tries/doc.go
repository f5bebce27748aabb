// Package tries counts how often each address of the network failed to prove who it is, and says when it is not listened to any more. What a
// proof is, and what is answered, is for those who ask.
package tries
