// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"syscall"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// What an error has of an answer, or of what the other side says, is left out of it, and what
// went wrong is not.
func TestErrorsWithoutWhatTheyQuote(t *testing.T) {
	t.Parallel()
	const broken = "net/http: HTTP/1.x transport connection broken: "
	for want, err := range map[string]error{
		broken + "malformed HTTP status code":                                       fmt.Errorf(broken+"%w", errors.New(`malformed HTTP status code "s3cret"`)),
		broken + "malformed HTTP response":                                          errors.New(broken + `malformed HTTP response "\"s3cret\" s3cret"`),
		broken + "malformed MIME header":                                            fmt.Errorf(broken+"%w", textproto.ProtocolError("malformed MIME header line: s3cret")),
		"malformed MIME header":                                                     textproto.ProtocolError(`malformed MIME header: missing colon: "s3cret"`),
		broken + "too many transfer encodings":                                      errors.New(broken + `too many transfer encodings: ["s3cret" "s3cret"]`),
		"stream error: stream ID 1; PROTOCOL_ERROR; invalid header field value for": errors.New(`stream error: stream ID 1; PROTOCOL_ERROR; invalid header field value for "s3cret"`),
		"http2: server sent GOAWAY and closed the connection; LastStreamID=1, ErrCode=NO_ERROR, debug": errors.New(
			`http2: server sent GOAWAY and closed the connection; LastStreamID=1, ErrCode=NO_ERROR, debug="s3cret"`),
		"http3: invalid response":        errors.New("http3: invalid response: header field is not lower-case: s3cret"),
		"H3_INTERNAL_ERROR":              fmt.Errorf("http3: %w", &http3.Error{Remote: true, ErrorCode: http3.ErrCodeInternalError, ErrorMessage: "s3cret"}),
		"Application error 0x7 (remote)": &quic.ApplicationError{Remote: true, ErrorCode: 7, ErrorMessage: "s3cret"},
		"PROTOCOL_VIOLATION (remote)":    &quic.TransportError{Remote: true, ErrorCode: quic.ProtocolViolation, ErrorMessage: "s3cret"},
		"":                               errors.New(`"s3cret"`),
	} {
		if got := unquoted(err).Error(); got != want {
			t.Errorf("of %q is left %q, want %q", err, got, want)
		}
	}
	dial := reverseproxy.NewDialError(&net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED})
	for _, err := range []error{nil, io.EOF, context.DeadlineExceeded, dial, errBroken, errors.New("no upstreams available")} {
		if got := unquoted(err); got != err {
			t.Errorf("of %v is left %v", err, got)
		}
	}
}
