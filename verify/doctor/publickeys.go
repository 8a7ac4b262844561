// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"strings"

	"github.com/caddy-webhook-inbox/inbox/verify"
	"github.com/caddy-webhook-inbox/inbox/verify/senders"
)

// publicKeys returns the signatures that are of a private key whose public key is
// among what was given as secrets.
func (d diagnosis) publicKeys(s search) []Finding {
	var findings []Finding
	list := signatures(d.r)
	for i, secret := range d.secrets {
		for _, key := range publicKeysOf(secret) {
			for h := range s.fillings(false) {
				for _, h.signature = range list {
					if !key.fits(h.signature.bytes) || !fits(h, h.signature) {
						continue
					}
					parts, ok := s.parts(h)
					if !ok || *s.left <= 0 {
						continue
					}
					message := slices.Concat(parts...)
					*s.left -= int64(len(message)) + 1<<18 // what it costs beside hashing
					if !key.verifies(message, h.signature.bytes) {
						continue
					}
					scheme := senders.PublicKey{Config: h.publicKeyConfig(key.algorithm), Encoding: key.encoding}
					if f, ok := d.try(scheme, senders.Keys{Secrets: []string{secret}, PublicURL: h.origin}); ok {
						f.Secret = i + 1
						findings = append(findings, f)
					}
				}
			}
		}
	}
	return findings
}

// A publicKey is one way to read a text as a public key.
type publicKey struct {
	algorithm string
	encoding  string // as the scheme has it; empty for the algorithm's default
	ed25519   ed25519.PublicKey
	ecdsa     *ecdsa.PublicKey
}

func publicKeysOf(text string) []publicKey {
	var list []publicKey
	add := func(encoding string, b []byte) {
		if len(b) == ed25519.PublicKeySize {
			list = append(list, publicKey{algorithm: "ed25519", encoding: encoding, ed25519: b})
			return
		}
		switch key, _ := x509.ParsePKIXPublicKey(b); key := key.(type) {
		case ed25519.PublicKey:
			list = append(list, publicKey{algorithm: "ed25519", encoding: encoding, ed25519: key})
		case *ecdsa.PublicKey:
			list = append(list, publicKey{algorithm: "ecdsa-p256", encoding: encoding, ecdsa: key})
		}
	}
	if block, _ := pem.Decode([]byte(text)); block != nil {
		add("pem", block.Bytes)
	}
	if b, ok := decodeHex(text); ok {
		add("hex", b)
	}
	if b, ok := decodeBase64(text); ok && !strings.ContainsAny(text, "-_") {
		add("base64", b)
	}
	return list
}

func (k publicKey) fits(signature []byte) bool {
	return (k.ed25519 != nil) == (len(signature) == ed25519.SignatureSize)
}

func (k publicKey) verifies(message, signature []byte) bool {
	if k.ed25519 != nil {
		return ed25519.Verify(k.ed25519, message, signature)
	}
	sum := sha256.Sum256(message)
	return ecdsa.VerifyASN1(k.ecdsa, sum[:], signature)
}

func (h hit) publicKeyConfig(algorithm string) verify.PublicKeyConfig {
	c := h.config()
	return verify.PublicKeyConfig{
		Algorithm: algorithm,
		Signature: c.Signature,
		Signed:    c.Signed,
		Timestamp: c.Timestamp,
		ID:        c.ID,
	}
}
