// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// A body is sent whole if it is as long as was said. Otherwise the transport gets
// what it would have read, all of it and how it ends.
func TestBodyIsReadWholeOrLeftAsItWas(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		body  io.Reader
		whole bool
		want  string
		err   error
	}{
		"as long as was said":   {strings.NewReader("12345"), true, "12345", nil},
		"in pieces":             {iotest.OneByteReader(strings.NewReader("12345")), true, "12345", nil},
		"with its end":          {iotest.DataErrReader(strings.NewReader("12345")), true, "12345", nil},
		"shorter":               {strings.NewReader("123"), false, "123", nil},
		"empty":                 {strings.NewReader(""), false, "", nil},
		"longer":                {strings.NewReader("123456"), false, "123456", nil},
		"much longer":           {strings.NewReader("123456789"), false, "123456789", nil},
		"broken off":            {io.MultiReader(strings.NewReader("123"), iotest.ErrReader(broken)), false, "123", broken},
		"broken off at its end": {io.MultiReader(strings.NewReader("12345"), iotest.ErrReader(broken)), false, "12345", broken},
		"broken":                {iotest.ErrReader(broken), false, "", broken},
	} {
		rd := readWhole(io.NopCloser(c.body), 5)
		if rd.whole != c.whole {
			t.Errorf("%s: whole is %v", name, rd.whole)
		}
		body, once := rd.again(new(delivered).repeat)
		if data, err := io.ReadAll(body); string(data) != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: read %q, %v; want %q, %v", name, data, err, c.want, c.err)
		}
		if (once != nil) != c.whole {
			t.Errorf("%s: can be sent again: %v", name, once != nil)
		}
		if once != nil {
			again, _ := once()
			if data, err := io.ReadAll(again); string(data) != c.want || err != nil {
				t.Errorf("%s: read %q, %v again", name, data, err)
			}
		}
	}
}
