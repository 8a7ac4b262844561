// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
	"github.com/caddy-webhook-inbox/inbox/verify/senders"
)

// rendering is what a `verify` in a Caddyfile says beside how its sender signs.
type rendering struct {
	secret    string // a placeholder
	user      string
	publicURL string
	indent    string // before each line, but not within a token that has several
}

// secretOf returns a rendering whose secret comes from an environment variable that
// is called after the sender.
func secretOf(name string, scheme senders.Scheme) rendering {
	what := strings.ReplaceAll(cmp.Or(scheme.Needs().Secret, "secret"), " ", "_")
	variable := strings.ToUpper(cmp.Or(name, "sender") + "_" + what)
	r := rendering{secret: "{env." + variable + "}"}
	if scheme.Needs().User {
		r.user = "user"
	}
	return r
}

// line returns a `verify` that has a name and nothing to say but the secret.
func (r rendering) line(words ...string) string {
	if r.user != "" {
		words = append(words, r.user)
	}
	words = append(words, r.secret)
	for i, word := range words {
		words[i] = quoteToken(word)
	}
	text := r.indent + "verify " + strings.Join(words, " ")
	if r.publicURL != "" {
		text += " {\n" + r.indent + "\tpublic_url " + quoteToken(r.publicURL) + "\n" + r.indent + "}"
	}
	return text + "\n"
}

// scheme returns the `verify` that says in full how a scheme signs, and whether
// there is one: some senders have a scheme of their own.
func (r rendering) scheme(scheme senders.Scheme) (string, bool) {
	switch s := scheme.(type) {
	case senders.Standard:
		switch {
		case s.LeadingZeros:
			return "", false
		case s.Encoding != "" && s.Encoding != "whsec":
			return r.block("standard_webhooks", []string{"secret", r.secret, s.Encoding}), true
		}
		return r.line("standard_webhooks"), true
	case senders.Token:
		return r.line("token", s.Header), true
	case senders.Bearer:
		return r.line("bearer"), true
	case senders.Basic:
		return r.line("basic"), true
	case senders.HMAC:
		c := s.Config
		return r.signing("hmac",
			without([]string{"secret", r.secret}, s.Encoding, "raw"),
			option("algorithm", c.Algorithm, "sha256"),
			c), true
	case senders.PublicKey:
		c := s.Config
		return r.signing("public_key",
			without([]string{"key", r.secret}, s.Encoding, map[string]string{"ed25519": "hex", "ecdsa-p256": "base64"}[c.Algorithm]),
			option("algorithm", c.Algorithm, ""),
			verify.HMACConfig{Signature: c.Signature, Signed: c.Signed, Timestamp: c.Timestamp, Tolerance: c.Tolerance, ID: c.ID}), true
	case senders.JWT:
		c := s.Config
		var expiry []string
		if c.RequireExpiry {
			expiry = []string{"require_expiry"}
		}
		return r.block("jwt",
			without([]string{"key", r.secret}, s.Encoding, ""),
			option("header", c.Header, "Authorization"),
			option("algorithm", c.Algorithm, ""),
			option("issuer", c.Issuer, ""),
			option("audience", c.Audience, ""),
			option("subject", c.Subject, ""),
			without(option("body_claim", c.BodyClaim, ""), c.BodyEncoding, "hex"),
			toleranceLine(c.Tolerance),
			option("max_age", shortDuration(c.MaxAge), "0s"),
			expiry,
		), true
	default:
		return "", false
	}
}

// signing returns a `verify` of what is signed, and with what.
func (r rendering) signing(name string, key, algorithm []string, c verify.HMACConfig) string {
	return r.block(name, key, algorithm,
		signatureLine(c.Signature),
		option("signed", c.Signed, "{body}"),
		timestampLine(c.Timestamp),
		toleranceLine(c.Tolerance),
		idLine(c.ID),
		option("public_url", r.publicURL, ""),
	)
}

// block returns a `verify` with the lines that are not empty.
func (r rendering) block(name string, lines ...[]string) string {
	var b strings.Builder
	b.WriteString(r.indent + "verify " + name + " {\n")
	for _, words := range lines {
		if len(words) == 0 {
			continue
		}
		b.WriteString(r.indent + "\t")
		for i, word := range words {
			if i > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(quoteToken(word))
		}
		b.WriteByte('\n')
	}
	b.WriteString(r.indent + "}\n")
	return b.String()
}

// option returns a line, none for the default.
func option(name, value, ofDefault string) []string {
	if value == "" || value == ofDefault {
		return nil
	}
	return []string{name, value}
}

// without adds a word to a line unless it is the default.
func without(line []string, word, ofDefault string) []string {
	if word != "" && word != ofDefault {
		line = append(line, word)
	}
	return line
}

func signatureLine(s verify.Signature) []string {
	line := append([]string{"signature", "header"}, s.Headers...)
	if s.JSON != "" {
		line = []string{"signature", "json", s.JSON}
	}
	for _, word := range [][2]string{{"prefix", s.Prefix}, {"key", s.Key}, {"encoding", s.Encoding}, {"split", s.Split}} {
		if word[1] != "" {
			line = append(line, word[0], word[1])
		}
	}
	return line
}

func timestampLine(t *verify.Timestamp) []string {
	if t == nil {
		return nil
	}
	line := []string{"timestamp"}
	switch {
	case t.Header != "":
		line = append(line, "header", t.Header)
	case t.Key != "":
		line = append(line, "key", t.Key)
	default:
		line = append(line, "json", t.JSON)
	}
	if t.Unit != "" && t.Unit != "s" {
		line = append(line, "unit", t.Unit)
	}
	return line
}

func toleranceLine(tolerance time.Duration) []string {
	if tolerance == 0 || tolerance == verify.DefaultTolerance {
		return nil
	}
	return []string{"tolerance", shortDuration(tolerance)}
}

func idLine(id *verify.ID) []string {
	switch {
	case id == nil:
		return nil
	case id.Header != "":
		return []string{"id", "header", id.Header}
	default:
		return []string{"id", "json", id.JSON}
	}
}

// messageIDLine returns the `message_id` of one part of an id.
func messageIDLine(id senders.ID) string {
	switch {
	case id.Header != "":
		return "message_id header " + quoteToken(id.Header)
	case id.JSON != "":
		return "message_id json " + quoteToken(id.JSON)
	default:
		return fmt.Sprintf("message_id path %d", *id.Path)
	}
}

// shortDuration writes 5m0s as 5m.
func shortDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// quoteToken writes a word as a token of a Caddyfile. Within quotation marks \ stands
// for itself, but before one of them: what has both goes between backticks, and what
// has these too is a heredoc.
func quoteToken(word string) string {
	plain := word != "" && word != "{" && word != "}" && !strings.ContainsAny(word, " \t\r\n\"`\\") &&
		!strings.HasPrefix(word, "#") && !strings.HasPrefix(word, "<<")
	switch {
	case plain:
		return word
	case !strings.ContainsAny(word, `"\`):
		return `"` + word + `"`
	case !strings.Contains(word, "`"):
		return "`" + word + "`"
	case !strings.Contains(word, `\`):
		return `"` + strings.ReplaceAll(word, `"`, `\"`) + `"`
	default:
		marker := "END"
		for strings.Contains(word, marker) {
			marker += "_"
		}
		return "<<" + marker + "\n" + word + "\n" + marker
	}
}
