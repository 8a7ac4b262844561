// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"
)

// The sender's side of the schemes that put what they prove into the body.

// Sign sets the signature of the item in r.Body, with the first secret. The body
// is written anew.
func (c AdyenConfig) Sign(r *Request, _ string, _ time.Time) error {
	v, err := NewAdyen(c)
	if err != nil {
		return err
	}
	return rewriteEach(r, "notificationItems", 1, func(wrapper map[string]any) error {
		item, ok := wrapper["NotificationRequestItem"].(map[string]any)
		if !ok {
			return fmt.Errorf("JSON member NotificationRequestItem: %w", ErrMissing)
		}
		text, err := encodeJSON(item)
		if err != nil {
			return err
		}
		signed, err := adyenSigned(text)
		if err != nil {
			return err
		}
		data, ok := item["additionalData"].(map[string]any)
		if !ok {
			data = map[string]any{}
			item["additionalData"] = data
		}
		data["hmacSignature"] = base64.StdEncoding.EncodeToString(v.keys[0].sum([][]byte{signed}))
		return nil
	})
}

// SignClientState sets the state in each notification in r.Body. The body is
// written anew.
func SignClientState(state string, r *Request) error {
	if _, err := NewClientState([]string{state}); err != nil {
		return err
	}
	return rewriteEach(r, "value", maxNotifications, func(notification map[string]any) error {
		notification["clientState"] = state
		return nil
	})
}

// rewriteEach calls rewrite with each of the objects, at most limit, in the array
// that is the member of that name in r.Body.
func rewriteEach(r *Request, name string, limit int, rewrite func(map[string]any) error) error {
	d := json.NewDecoder(bytes.NewReader(r.Body))
	d.UseNumber()
	var document map[string]any
	if err := d.Decode(&document); err != nil {
		return fmt.Errorf("JSON body: %w", ErrMalformed)
	}
	list, _ := document[name].([]any)
	if len(list) == 0 {
		return fmt.Errorf("JSON member %s: %w", name, ErrMissing)
	}
	if len(list) > limit {
		return fmt.Errorf("JSON member %s has too many elements, at most %d: %w", name, limit, ErrMalformed)
	}
	for _, element := range list {
		object, ok := element.(map[string]any)
		if !ok {
			return fmt.Errorf("JSON member %s holds no objects: %w", name, ErrMalformed)
		}
		if err := rewrite(object); err != nil {
			return err
		}
	}
	body, err := encodeJSON(document)
	if err != nil {
		return err
	}
	r.Body = body
	return nil
}

// encodeJSON writes <, > and & as they are.
func encodeJSON(value any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
