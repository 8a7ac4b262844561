// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"errors"
	"fmt"
	"hash"
	"math/big"
	"slices"
	"strings"
)

// newJWTKeys returns the keys of an algorithm of RFC 7518 or RFC 8037, and the
// sizes that its signatures have.
func newJWTKeys(algorithm string, secrets []Secret, minSecret int) (keys signatureKeys, s sizes, err error) {
	if len(secrets) == 0 {
		return nil, s, errors.New("no keys")
	}
	switch algorithm {
	case "HS256", "HS384", "HS512":
		newHash := jwtHash(algorithm)
		size := newHash().Size()
		keys, err := newJWTSecrets(secrets, newHash, minSecret)
		return keys, sizes{size, size}, err
	case "RS256":
		keys, err := newRSAKeys(secrets)
		return keys, sizes{minRSABits / 8, maxRSABits / 8}, err
	case "ES256":
		keys, err := newECDSAKeys(withPublicEncoding(secrets))
		return jwtECDSAKeys(keys), sizes{64, 64}, err
	case "EdDSA":
		keys, err := newEd25519Keys(withPublicEncoding(secrets))
		return keys, sizes{ed25519.SignatureSize, ed25519.SignatureSize}, err
	case "":
		return nil, s, errors.New("no algorithm: expected HS256, HS384, HS512, RS256, ES256 or EdDSA")
	default:
		return nil, s, fmt.Errorf("unknown algorithm %q: expected HS256, HS384, HS512, RS256, ES256 or EdDSA", algorithm)
	}
}

// jwtHash returns the hash of an HMAC.
func jwtHash(algorithm string) func() hash.Hash {
	switch algorithm {
	case "HS384":
		return sha512.New384
	case "HS512":
		return sha512.New
	default:
		return sha256.New
	}
}

// minJWTSecret is the size in bytes of the shortest secret. RFC 7518, section 3.2,
// asks for that of the hash, which not all senders make.
const minJWTSecret = 16

func newJWTSecrets(secrets []Secret, newHash func() hash.Hash, minSize int) (keys macKeys, err error) {
	for i, secret := range secrets {
		if secret.Encoding == "" {
			secret.Encoding = "raw"
		}
		// A public key is no secret: whoever has it could sign.
		if strings.HasPrefix(strings.TrimSpace(secret.Text), "-----BEGIN") {
			return nil, fmt.Errorf("key %d is a PEM block: expected a secret, or the algorithm RS256, ES256 or EdDSA", i+1)
		}
		key, err := secret.decode()
		if err != nil {
			return nil, fmt.Errorf("key %d %w", i+1, err)
		}
		if len(key) < minSize {
			return nil, fmt.Errorf("key %d is shorter than %d bytes, so that it can be guessed from one token: let the sender use a random one of %d bytes or more",
				i+1, minSize, newHash().Size())
		}
		keys = append(keys, newMACKey(newHash, key))
	}
	return keys, nil
}

// withPublicEncoding fills in the default encoding of public keys.
func withPublicEncoding(secrets []Secret) []Secret {
	secrets = slices.Clone(secrets)
	for i := range secrets {
		switch {
		case secrets[i].Encoding != "":
		case strings.Contains(secrets[i].Text, "-----"):
			secrets[i].Encoding = "pem"
		default:
			secrets[i].Encoding = "base64"
		}
	}
	return secrets
}

// The sizes of RSA keys: less is not safe (RFC 7518, section 3.3), and more
// costs too much for each forged request.
const (
	minRSABits = 2048
	maxRSABits = 8192
)

// expectedRSA says for each encoding what a key looks like.
var expectedRSA = map[string]string{
	"hex":    "the hex of the key in SPKI form, which begins with 3082",
	"base64": "the base64 of the key in SPKI form, which begins with MII",
	"pem":    "BEGIN PUBLIC KEY and the key in SPKI form, which begins with MII",
}

type rsaKeys []*rsa.PublicKey

func newRSAKeys(secrets []Secret) (keys rsaKeys, err error) {
	for i, secret := range withPublicEncoding(secrets) {
		der, err := secret.decodePublic(expectedRSA)
		if err != nil {
			return nil, fmt.Errorf("key %d %w", i+1, err)
		}
		parsed, err := x509.ParsePKIXPublicKey(der)
		key, ok := parsed.(*rsa.PublicKey)
		if err != nil || !ok {
			return nil, fmt.Errorf("key %d is no RSA public key: expected %s", i+1, expectedRSA[secret.Encoding])
		}
		if bits := key.N.BitLen(); bits < minRSABits || bits > maxRSABits {
			return nil, fmt.Errorf("key %d is an RSA key of %d bits: expected %d to %d", i+1, bits, minRSABits, maxRSABits)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// match verifies RSASSA-PKCS1-v1_5 with SHA-256.
func (k rsaKeys) match(signatures, parts [][]byte) bool {
	sum := sha256.Sum256(slices.Concat(parts...))
	for _, key := range k {
		for _, signature := range signatures {
			if rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature) == nil {
				return true
			}
		}
	}
	return false
}

// jwtECDSAKeys verify signatures that are two numbers of 32 bytes (RFC 7518,
// section 3.4) rather than ASN.1.
type jwtECDSAKeys []*ecdsa.PublicKey

func (k jwtECDSAKeys) match(signatures, parts [][]byte) bool {
	sum := sha256.Sum256(slices.Concat(parts...))
	for _, key := range k {
		for _, signature := range signatures {
			r := new(big.Int).SetBytes(signature[:32])
			s := new(big.Int).SetBytes(signature[32:])
			if ecdsa.Verify(key, sum[:], r, s) {
				return true
			}
		}
	}
	return false
}
