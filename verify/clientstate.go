// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"fmt"
	"time"
)

// ClientState verifies the change and lifecycle notifications of Microsoft
// Graph: each of the notifications in a body carries the clientState that was
// given with its subscription, a secret text. It proves what a [Token] does.
//
// The request with a validationToken, by which Microsoft Graph tests an endpoint,
// carries none and is refused.
type ClientState struct {
	states tokens
}

var _ Verifier = (*ClientState)(nil)

// maxNotifications is how many notifications a body may have. Each costs work.
const maxNotifications = 10_000

// NewClientState returns a verifier of notifications with any of the states.
func NewClientState(states []string) (*ClientState, error) {
	t, err := newTokens("client state", states)
	if err != nil {
		return nil, err
	}
	return &ClientState{states: t}, nil
}

// Verify implements [Verifier]. Every notification must have one of the states,
// not necessarily the same, and there must be one.
func (v *ClientState) Verify(r *Request, _ time.Time) (Claims, error) {
	document, err := parseJSON(r.Body)
	if err != nil {
		return Claims{}, err
	}
	notifications, err := elements(document, "value", maxNotifications)
	if err != nil {
		return Claims{}, err
	}
	for _, notification := range notifications {
		state, err := textAt(notification, "clientState")
		switch {
		case err != nil:
			return Claims{}, err
		case state == "":
			return Claims{}, fmt.Errorf("JSON member clientState: %w", ErrMissing)
		case !v.states.contain(state):
			return Claims{}, fmt.Errorf("JSON member clientState: %w", ErrMismatch)
		}
	}
	return Claims{Content: unsignedContent(r)}, nil
}

// Traits implements [Verifier].
func (v *ClientState) Traits() Traits { return Traits{} }
