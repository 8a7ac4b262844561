// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http/httputil"
	"strconv"
	"strings"
)

// curlPrefix stands before what curl -v sends.
const curlPrefix = ">"

// parseRaw reads a request as it is on the wire, line by line up to the body.
func parseRaw(data []byte) (draft, error) {
	var d draft
	curl := false
	number := 0
	for first := true; ; {
		line, rest, more := bytes.Cut(data, []byte("\n"))
		number++
		text := strings.TrimRight(string(line), "\r")
		if (first || curl) && isRemark(text) && more {
			data = rest
			continue
		}
		if first {
			curl = strings.HasPrefix(text, curlPrefix)
		}
		if curl {
			text = strings.TrimPrefix(strings.TrimPrefix(text, curlPrefix), " ")
		}
		if text == "" {
			d.body = rest
			break
		}
		if err := d.readLine(text, first); err != nil {
			return draft{}, fmt.Errorf("line %d: %w", number, err)
		}
		first = false
		if !more {
			break
		}
		data = rest
	}
	if d.header == nil {
		return draft{}, errors.New("the capture has no header fields: expected a line such as POST /hooks HTTP/1.1, header fields, an empty line and the body")
	}
	if curl {
		d.withoutAnswer()
	}
	d.delimitBody()
	return d, nil
}

// isRemark reports whether a line is one that curl -v writes between others.
func isRemark(line string) bool {
	return strings.HasPrefix(line, "* ") || line == "*" || strings.HasPrefix(line, "} [") || strings.HasPrefix(line, "{ [")
}

// withoutAnswer removes from the body what curl -v writes after the header: it does
// not write the body itself.
func (d *draft) withoutAnswer() {
	body := d.body
	for {
		line, rest, more := bytes.Cut(body, []byte("\n"))
		switch {
		case isRemark(strings.TrimRight(string(line), "\r")):
			if body = rest; !more {
				body = nil
			}
			d.body = body
		case bytes.HasPrefix(line, []byte("< HTTP/")):
			d.body = nil
			d.remark("The capture is of curl -v, which does not write the body of a request: save it beside, and put it after the empty line.")
			return
		default:
			return
		}
	}
}

// readLine reads a line of the head. The first may be the request line; without
// one, the capture is of the header and the body alone.
func (d *draft) readLine(text string, first bool) error {
	fields := strings.Fields(text)
	name, value, isField := strings.Cut(text, ":")
	if first && len(fields) >= 2 && len(fields) <= 3 && isMethod(fields[0]) {
		d.method, d.target = fields[0], fields[1]
		if len(fields) == 3 && !strings.HasPrefix(fields[2], "HTTP/") {
			return errors.New("expected a request line such as POST /hooks HTTP/1.1")
		}
		return nil
	}
	if !isField || strings.HasPrefix(text, " ") || strings.HasPrefix(text, "\t") {
		return errors.New("expected a header field such as Content-Type: application/json, or an empty line and then the body")
	}
	return d.addHeader(name, value)
}

func isMethod(word string) bool {
	return word != "" && len(word) <= 16 && !strings.ContainsFunc(word, func(c rune) bool { return c < 'A' || c > 'Z' })
}

// delimitBody finds the end of the body, which is at first all the rest.
func (d *draft) delimitBody() {
	if strings.EqualFold(d.header.Get("Transfer-Encoding"), "chunked") {
		r := httputil.NewChunkedReader(bufio.NewReader(bytes.NewReader(d.body)))
		if body, err := io.ReadAll(r); err == nil {
			d.body = body
		} else {
			d.remark("The header says that the body comes in chunks, but there are none: the rest of the capture is taken for the body.")
		}
		return
	}
	text := d.header.Get("Content-Length")
	length, err := strconv.Atoi(text)
	switch {
	case text == "" || err != nil || length < 0:
	case length < len(d.body):
		if strings.Trim(string(d.body[length:]), "\r\n") != "" {
			d.remark("The body has %d bytes, but Content-Length says %d: the first %d are taken.", len(d.body), length, length)
		}
		d.body = d.body[:length]
	case length > len(d.body):
		d.remark("The body has %d bytes, but Content-Length says %d: the capture changed it or cut it off. Save the exact bytes.", len(d.body), length)
	}
}
