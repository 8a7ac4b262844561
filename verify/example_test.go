// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"fmt"
	"net/http"
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// GitHub signs the body, and nothing else.
func ExampleNewHMAC() {
	verifier, err := verify.NewHMAC(verify.HMACConfig{
		Secrets: []verify.Secret{{Text: "It's a Secret to Everybody"}},
		Signature: verify.Signature{
			Headers: []string{"X-Hub-Signature-256"},
			Prefix:  "sha256=",
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	r := &verify.Request{
		Method: "POST",
		URI:    "/hooks/github",
		Header: http.Header{"X-Hub-Signature-256": {
			"sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
		}},
		Body: []byte("Hello, World!"),
	}
	_, err = verifier.Verify(r, time.Now())
	fmt.Println("as it was sent:", err)

	r.Body = []byte("Hello, World?")
	_, err = verifier.Verify(r, time.Now())
	fmt.Println("with another body:", err)
	// Output:
	// as it was sent: <nil>
	// with another body: signature: mismatch
}

// Standard Webhooks sign an id, a timestamp and the body.
func ExampleNewStandard() {
	verifier, err := verify.NewStandard(verify.StandardConfig{
		Secrets: []verify.Secret{
			{Text: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
			{Text: "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="},
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	r := &verify.Request{
		Method: "POST",
		URI:    "/hooks",
		Header: http.Header{
			"Webhook-Id":        {"msg_p5jXN8AQM9LWM0D4loKWxJek"},
			"Webhook-Timestamp": {"1614265330"},
			"Webhook-Signature": {"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
		},
		Body: []byte(`{"test": 2432232314}`),
	}
	sent := time.Unix(1614265330, 0)
	claims, err := verifier.Verify(r, sent)
	fmt.Println(claims.ID, claims.Timestamp, err)

	_, err = verifier.Verify(r, sent.Add(time.Hour))
	fmt.Println("an hour later:", verify.Reason(err))
	// Output:
	// msg_p5jXN8AQM9LWM0D4loKWxJek 2021-02-25 15:02:10 +0000 UTC <nil>
	// an hour later: expired
}
