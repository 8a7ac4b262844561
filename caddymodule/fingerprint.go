// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
)

// A fingerprint is the configuration of an endpoint or an issuer, field by field,
// so that two of the same name can be compared, and a changed delivery route
// recognized.
type fingerprint map[string]json.RawMessage

func newFingerprint(module any) (fingerprint, error) {
	data, err := json.Marshal(module)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	var f fingerprint
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	for name, value := range f {
		var compact bytes.Buffer
		if err := json.Compact(&compact, value); err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		f[name] = compact.Bytes()
	}
	return f, nil
}

// differences returns the names of the fields in which f and other differ.
func (f fingerprint) differences(other fingerprint) []string {
	var names []string
	for name, value := range f {
		if !bytes.Equal(value, other[name]) {
			names = append(names, name)
		}
	}
	for name := range other {
		if _, ok := f[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// route identifies the delivery route. Deliveries that are signed otherwise may
// be accepted where they were not.
func (f fingerprint) route() string {
	sum := sha256.Sum256(slices.Concat(f["deliver"], f["sign"]))
	return hex.EncodeToString(sum[:8])
}
