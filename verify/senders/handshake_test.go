// SPDX-License-Identifier: Apache-2.0

package senders

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

func post(body string) *verify.Request {
	return &verify.Request{Method: http.MethodPost, URI: "/hooks", Header: http.Header{}, Body: []byte(body)}
}

// passes checks that a sender's ordinary messages are none of its handshakes.
func passes(t *testing.T, handshake Handshake, secrets []string, bodies ...string) {
	t.Helper()
	for _, body := range append(bodies, "", "null", "[]", "1", "{", "a=1&b=2", `{"type":null}`) {
		if answer, ok := handshake(post(body), secrets); ok || answer.Status != 0 || answer.Body != nil {
			t.Errorf("%.200s is answered %d %q", body, answer.Status, answer.Body)
		}
	}
}

func TestSlackGetsItsChallengeBack(t *testing.T) {
	t.Parallel()
	for _, challenge := range []string{"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P", "<script>", strings.Repeat("x", 4096)} {
		answer, ok := slackChallenge(post(fmt.Sprintf(`{"token":"t","challenge":%q,"type":"url_verification"}`, challenge)), nil)
		if !ok || answer.Status != 200 || answer.ContentType != "text/plain; charset=utf-8" || string(answer.Body) != challenge {
			t.Errorf("%.60s is answered %t %+v", challenge, ok, answer)
		}
	}
	passes(t, slackChallenge, nil,
		`{"type":"event_callback","challenge":"c"}`,
		`{"type":"URL_verification","challenge":"c"}`,
		`{"type":"url_verification"}`,
		`{"type":"url_verification","challenge":""}`,
		`{"type":"url_verification","challenge":{"a":"c"}}`,
		`{"type":"url_verification","challenge":"`+strings.Repeat("x", 4097)+`"}`,
		`{"type":"url_verification","challenge":"c","padding":"`+strings.Repeat("x", 16<<10)+`"}`,
		`{"type":"url_verification","challenge":"c","challenge":"d"}`,
		`{"type":"event_callback","type":"url_verification","challenge":"c"}`,
		`{"event":{"type":"url_verification","challenge":"c"}}`,
		`payload={"type":"url_verification","challenge":"c"}`,
	)
	r := post(`{"challenge":"c","type":"url_verification"}`)
	r.Method = http.MethodGet
	if _, ok := slackChallenge(r, nil); ok {
		t.Error("a GET is answered")
	}
}

func TestZoomGetsTheMACOfItsToken(t *testing.T) {
	t.Parallel()
	for _, token := range []string{"qgg8vlvZRS6UYooatFL8Aw", `"},<&>`, "é"} {
		quoted, err := json.Marshal(token)
		if err != nil {
			t.Fatal(err)
		}
		body := `{"payload":{"plainToken":` + string(quoted) + `},"event_ts":1654503849680,"event":"endpoint.url_validation"}`
		answer, ok := zoomValidation(post(body), []string{"zoomsecret", "the last one"})
		h := hmac.New(sha256.New, []byte("zoomsecret"))
		h.Write([]byte(token))
		var got map[string]string
		if err := json.Unmarshal(answer.Body, &got); err != nil {
			t.Fatal(err)
		}
		if !ok || answer.Status != 200 || answer.ContentType != "application/json" || len(got) != 2 ||
			got["plainToken"] != token || got["encryptedToken"] != hex.EncodeToString(h.Sum(nil)) {
			t.Errorf("%s is answered %t %d %s %s", token, ok, answer.Status, answer.ContentType, answer.Body)
		}
	}
	secrets := []string{"zoomsecret"}
	passes(t, zoomValidation, secrets,
		`{"event":"meeting.started","payload":{"plainToken":"p"}}`,
		`{"event":"endpoint.url_validation","plainToken":"p"}`,
		`{"event":"endpoint.url_validation","payload":{"plainToken":""}}`,
		`{"event":"endpoint.url_validation","payload":{"plainToken":["p"]}}`,
		`{"event":"endpoint.url_validation","payload":{"plainToken":"v0:1700000000:{\"event\":\"meeting.started\"}"}}`,
		`{"event":"endpoint.url_validation","payload":{"plainToken":"p\u003aq"}}`,
		`{"event":"endpoint.url_validation","payload":{"plainToken":"p","plainToken":"q"}}`,
		`{"event":"endpoint.url_validation","payload":{"plainToken":"`+strings.Repeat("x", 4097)+`"}}`,
	)
	passes(t, zoomValidation, nil, `{"event":"endpoint.url_validation","payload":{"plainToken":"p"}}`)
}

func TestDiscordGetsItsPingsAcknowledged(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]Answer{
		`{"version":1,"application_id":"1234560123453231555","type":0}`: {204, "application/json", nil},
		`{"type":0,"version":1,"application_id":"1"}`:                   {204, "application/json", nil},
		`{"id":"787053080478613555","token":"ThisIsAToken","type":1,"version":1}`: {
			200, "application/json", []byte(`{"type":1}`)},
		`{"app_permissions":"562949953601536","application_id":"1","authorizing_integration_owners":{},"entitlements":[],` +
			`"id":"2","token":"t","type":1,"user":{"id":"3"},"version":1}`: {200, "application/json", []byte(`{"type":1}`)},
	} {
		answer, ok := discordPing(post(body), nil)
		if !ok || answer.Status != want.Status || answer.ContentType != want.ContentType || string(answer.Body) != string(want.Body) {
			t.Errorf("%s is answered %t %d %s %q", body, ok, answer.Status, answer.ContentType, answer.Body)
		}
	}
	passes(t, discordPing, nil,
		// Webhook events are of type 1, too.
		`{"version":1,"application_id":"1","type":1,"event":{"type":"APPLICATION_AUTHORIZED","timestamp":"2024-10-18T14:42:53.064834","data":{}}}`,
		`{"version":1,"application_id":"1","type":1}`,
		`{"version":1,"application_id":"1","type":1,"event":null}`,
		`{"version":1,"application_id":"1","type":0,"event":{}}`,
		`{"id":"2","token":"t","type":1,"version":1,"event":{"type":"ENTITLEMENT_CREATE"}}`,
		// Interactions that a person waits for.
		`{"id":"2","token":"t","type":2,"version":1,"data":{"name":"blep"}}`,
		`{"id":"2","token":"t","type":1,"version":1,"data":{"name":"blep"}}`,
		`{"id":"2","token":"t","type":3,"version":1}`,
		// And what Discord does not send.
		`{"id":"2","token":"t","type":0,"version":1}`,
		`{"version":1,"type":"0"}`,
		`{"version":1,"type":false}`,
		`{"version":1,"type":0.0}`,
		`{"version":2,"type":0}`,
		`{"version":"1","type":0}`,
		`{"type":0}`,
		`{"version":1,"type":1,"type":0}`,
		`{"version":1,"event":1,"type":0}`,
		`{"id":"2","type":1,"version":1}`,
		`{"token":"t","type":1,"version":1}`,
	)
}
