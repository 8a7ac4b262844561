// SPDX-License-Identifier: Apache-2.0

package senders

import "github.com/caddy-webhook-inbox/inbox/verify"

// The words that the rows of the table have in common.

// What a signature covers.
const (
	theBody    = "The body."
	bodyAndURL = "The URL that the sender was given and the body."
	bodyAndAge = "The body and the timestamp."
	idAgeBody  = "The id, the timestamp and the body."
	nothing    = "Nothing: the request proves who sent it to a sender that uses TLS, and neither what nor when."
)

// What is said where nothing was found.
const (
	notConfirmed  = "Not confirmed."
	notDocumented = "Not documented."

	// Of retries, where there is a timestamp.
	maybeOld = "Whether a retry is signed anew is not documented: if one is refused as expired, `tolerance` has to be larger."
)

func inHeader(name string) []ID { return []ID{{Header: name}} }

func inJSON(path string) []ID { return []ID{{JSON: path}} }

// onID is for senders whose genuine messages may be equal but for the id.
func onID() Dedupe { return Dedupe{On: []string{"id"}} }

func onContent() Dedupe { return Dedupe{On: []string{"content"}} }

// onIDAndContent is for ids that are not signed: under another one, a captured
// request would be another message. Bodies that genuine messages may share need
// the header fields that tell them apart.
func onIDAndContent(with ...string) Dedupe {
	return Dedupe{On: []string{"id", "content"}, With: with}
}

// hexOfBody is an HMAC-SHA256 of the body, as prefix and hex digits in any of the
// headers.
func hexOfBody(prefix string, headers ...string) HMAC {
	return ofBody("sha256", "hex", prefix, headers...)
}

// base64OfBody is hexOfBody in base64.
func base64OfBody(prefix string, headers ...string) HMAC {
	return ofBody("sha256", "base64", prefix, headers...)
}

func ofBody(algorithm, encoding, prefix string, headers ...string) HMAC {
	return HMAC{Config: verify.HMACConfig{
		Algorithm: algorithm,
		Signature: verify.Signature{Headers: headers, Prefix: prefix, Encoding: encoding},
	}}
}

// listOfBody is an HMAC-SHA256 of the body in hex, under a key of a list such as
// v1=…,v1=… in the header: there are several while the sender rotates its secret.
func listOfBody(header, key string) HMAC {
	return HMAC{Config: verify.HMACConfig{
		Signature: verify.Signature{Headers: []string{header}, Key: key},
	}}
}
