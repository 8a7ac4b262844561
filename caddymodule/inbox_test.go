// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"fmt"
	"net/http"
	"testing"
)

const tokenSite = `
	webhook_inbox demo {
		verify token X-Webhook-Token secret-token
		message_id header X-Webhook-Id
		deliver %s
	}
`

func tokenHeader(id string) http.Header {
	return header("X-Webhook-Token", "secret-token", "X-Webhook-Id", id)
}

func TestWebhookIsAcceptedAndDelivered(t *testing.T) {
	app := newApplication(t)
	s := serve(t, fmt.Sprintf(tokenSite, app.addr))
	s.expect(http.StatusAccepted, "POST", "/hooks?a=1", tokenHeader("1"), "hello")
	d := app.next()
	if d.Method != "POST" || d.URI != "/hooks?a=1" || d.Body != "hello" {
		t.Errorf("delivered %+v", d)
	}
	eventually(t, "nothing waits", func() bool { return s.endpoint("demo").Waiting == 0 })
}
