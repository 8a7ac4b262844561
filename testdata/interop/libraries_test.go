// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	paddle "github.com/PaddleHQ/paddle-go-sdk/v4"
	"github.com/PagerDuty/go-pagerduty/webhookv3"
	"github.com/bwmarrin/discordgo"
	"github.com/google/go-github/v75/github"
	"github.com/mailgun/mailgun-go/v4"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/webhooks"
	razorpay "github.com/razorpay/razorpay-go/utils"
	"github.com/resend/resend-go/v3"
	"github.com/sendgrid/sendgrid-go/helpers/eventwebhook"
	"github.com/slack-go/slack"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	stripe "github.com/stripe/stripe-go/v85/webhook"
	svix "github.com/svix/svix-webhooks/go"
	twilio "github.com/twilio/twilio-go/client"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// A library verifies what a sender sends.
type library struct {
	name   string
	sender string // its row in the table
	secret string
	body   string
	form   bool // the body is one, not JSON

	// accepts reports whether the library, configured with the secret, accepts r.
	accepts func(secret string, r *verify.Request) bool

	// sign signs r, as the library or the sender does. Without it the table does.
	sign func(r *verify.Request, now time.Time)

	// How old a request may be at most, and how far ahead of time; zero is any.
	past, future time.Duration
}

const (
	whsec = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	raw   = "a secret text, as it is"
)

var libraries = []library{
	{
		name: "standard-webhooks", sender: "standard_webhooks", secret: whsec, body: `{"type":"contact.created"}`,
		accepts: func(secret string, r *verify.Request) bool {
			wh, err := standardwebhooks.NewWebhook(secret)
			return err == nil && wh.Verify(r.Body, r.Header) == nil
		},
		past: 5 * time.Minute, future: 5 * time.Minute,
	},
	{
		name: "svix", sender: "svix", secret: whsec, body: `{"type":"contact.created"}`,
		accepts: func(secret string, r *verify.Request) bool {
			wh, err := svix.NewWebhook(secret)
			return err == nil && wh.Verify(r.Body, r.Header) == nil
		},
		past: 5 * time.Minute, future: 5 * time.Minute,
	},
	{
		name: "openai-go", sender: "openai", secret: whsec, body: `{"id":"evt_1","type":"response.completed"}`,
		accepts: func(secret string, r *verify.Request) bool {
			service := webhooks.NewWebhookService(option.WithWebhookSecret(secret))
			return service.VerifySignature(r.Body, r.Header) == nil
		},
		past: 5 * time.Minute, future: 5 * time.Minute,
	},
	{
		name: "resend-go", sender: "resend", secret: whsec, body: `{"type":"email.sent"}`,
		accepts: func(secret string, r *verify.Request) bool {
			return resend.NewClient("").Webhooks.Verify(&resend.VerifyWebhookOptions{
				Payload: string(r.Body),
				Headers: resend.WebhookHeaders{
					Id:        r.Header.Get("Webhook-Id"),
					Timestamp: r.Header.Get("Webhook-Timestamp"),
					Signature: r.Header.Get("Webhook-Signature"),
				},
				WebhookSecret: secret,
			}) == nil
		},
		past: 5 * time.Minute, future: 5 * time.Minute,
	},
	{
		name: "stripe-go", sender: "stripe", secret: "whsec_not_base64", body: `{"id":"evt_1","object":"event"}`,
		accepts: func(secret string, r *verify.Request) bool {
			return stripe.ValidatePayload(r.Body, r.Header.Get("Stripe-Signature"), secret) == nil
		},
		past: 5 * time.Minute,
	},
	{
		name: "slack-go", sender: "slack", secret: raw, body: `{"type":"event_callback","event_id":"Ev1"}`,
		accepts: func(secret string, r *verify.Request) bool {
			v, err := slack.NewSecretsVerifier(r.Header, secret)
			if err != nil {
				return false
			}
			_, _ = v.Write(r.Body) // a hash
			return v.Ensure() == nil
		},
		past: 5 * time.Minute, future: 5 * time.Minute,
	},
	{
		name: "go-github", sender: "github", secret: raw, body: `{"zen":"Design for failure."}`,
		accepts: func(secret string, r *verify.Request) bool {
			_, err := github.ValidatePayload(asHTTP(r), []byte(secret))
			return err == nil
		},
	},
	{
		name: "paddle-go-sdk", sender: "paddle", secret: "pdl_ntfset_01", body: `{"notification_id":"ntf_1"}`,
		accepts: func(secret string, r *verify.Request) bool {
			ok, err := paddle.NewWebhookVerifier(secret).Verify(asHTTP(r))
			return ok && err == nil
		},
	},
	{
		name: "go-pagerduty", sender: "pagerduty", secret: raw, body: `{"event":{"id":"01"}}`,
		accepts: func(secret string, r *verify.Request) bool {
			return webhookv3.VerifySignature(asHTTP(r), secret) == nil
		},
	},
	{
		name: "razorpay-go", sender: "razorpay", secret: raw, body: `{"event":"payment.captured"}`,
		accepts: func(secret string, r *verify.Request) bool {
			return razorpay.VerifyWebhookSignature(string(r.Body), r.Header.Get("X-Razorpay-Signature"), secret)
		},
	},
	{
		name: "twilio-go", sender: "twilio", secret: "12345", form: true,
		body: "To=%2B18005551212&From=%2B14158675310&Digits=1234&Body=caf%C3%A9+au+lait",
		accepts: func(secret string, r *verify.Request) bool {
			v := twilio.NewRequestValidator(secret)
			return v.ValidateBody("https://"+host+r.URI, r.Body, r.Header.Get("X-Twilio-Signature"))
		},
	},
	{
		name: "twilio-go, JSON", sender: "twilio", secret: "12345", body: `{"CallSid":"CA1234567890ABCDE"}`,
		accepts: func(secret string, r *verify.Request) bool {
			v := twilio.NewRequestValidator(secret)
			return v.ValidateBody("https://"+host+r.URI, r.Body, r.Header.Get("X-Twilio-Signature"))
		},
	},
	{
		name: "mailgun-go", sender: "mailgun", secret: raw,
		body: `{"signature":{"timestamp":"","token":"","signature":""},"event-data":{"event":"opened"}}`,
		accepts: func(secret string, r *verify.Request) bool {
			mg := mailgun.NewMailgun("example.com", "")
			mg.SetWebhookSigningKey(secret)
			var body mailgun.WebhookPayload
			if err := json.Unmarshal(r.Body, &body); err != nil {
				return false
			}
			ok, err := mg.VerifyWebhookSignature(body.Signature)
			return ok && err == nil
		},
	},
	{
		name: "sendgrid-go", sender: "sendgrid", secret: sendgridKey(), body: `[{"event":"delivered"}]` + "\r\n",
		accepts: func(secret string, r *verify.Request) bool {
			key, err := eventwebhook.ConvertPublicKeyBase64ToECDSA(secret)
			if err != nil {
				return false
			}
			ok, err := eventwebhook.VerifySignature(key, r.Body,
				r.Header.Get(eventwebhook.VerificationHTTPHeader), r.Header.Get(eventwebhook.TimestampHTTPHeader))
			return ok && err == nil
		},
		sign: func(r *verify.Request, now time.Time) {
			timestamp := strconv.FormatInt(now.Unix(), 10)
			digest := sha256.Sum256(append([]byte(timestamp), r.Body...))
			signature, err := ecdsa.SignASN1(rand.Reader, sendgridPrivate, digest[:])
			if err != nil {
				panic(err)
			}
			r.Header.Set(eventwebhook.TimestampHTTPHeader, timestamp)
			r.Header.Set(eventwebhook.VerificationHTTPHeader, base64.StdEncoding.EncodeToString(signature))
		},
	},
	{
		name: "discordgo", sender: "discord", secret: hex.EncodeToString(discordPrivate.Public().(ed25519.PublicKey)),
		body: `{"version":1,"type":1,"event":{"type":"APPLICATION_AUTHORIZED"}}`,
		accepts: func(secret string, r *verify.Request) bool {
			key, err := hex.DecodeString(secret)
			return err == nil && len(key) == ed25519.PublicKeySize && discordgo.VerifyInteraction(asHTTP(r), key)
		},
		sign: func(r *verify.Request, now time.Time) {
			timestamp := strconv.FormatInt(now.Unix(), 10)
			r.Header.Set("X-Signature-Timestamp", timestamp)
			r.Header.Set("X-Signature-Ed25519", hex.EncodeToString(ed25519.Sign(discordPrivate, append([]byte(timestamp), r.Body...))))
		},
	},
}

const host = "hooks.example.com"

// The keys of the senders that sign with one that nobody else has.
var (
	discordPrivate     = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	sendgridPrivate, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
)

func sendgridKey() string {
	der, err := x509.MarshalPKIXPublicKey(&sendgridPrivate.PublicKey)
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

// asHTTP is r as libraries want it that read requests of a server.
func asHTTP(r *verify.Request) *http.Request {
	h, err := http.NewRequest(r.Method, "https://"+host, bytes.NewReader(r.Body))
	if err != nil {
		panic(fmt.Sprintf("%s: %v", r.Method, err))
	}
	h.Header = r.Header
	return h
}
