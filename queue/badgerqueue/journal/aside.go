// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A segment hides something if a replay could not read all of it. Its file is not
// deleted when nothing is wanted of it any more, but set aside under another name.
// Until then an empty file beside it says so: the next replay begins behind it, and
// would not know.
const (
	asideSuffix  = ".unreadable" // behind the name of a segment that was set aside
	unreadSuffix = ".unread"     // and of the file that says so before
)

// unreadOf returns the number of the segment of which a file says that it hides something.
func unreadOf(name string) (segment uint32, ok bool) {
	if name, ok = strings.CutSuffix(name, unreadSuffix); !ok {
		return 0, false
	}
	return numberOf(name)
}

// noteUnread makes files for the segments that are found to hide something. The next
// sync of the directory makes them durable.
func (j *Journal) noteUnread() error {
	for _, s := range j.segments {
		if !s.hides || s.noted {
			continue
		}
		if err := os.WriteFile(s.name+unreadSuffix, nil, 0o600); err != nil {
			return spaceError(err)
		}
		s.noted = true
	}
	return nil
}

// knowUnread takes over what was noted of a segment. If that was set aside before a
// crash, the note is removed: the number may be used again.
func (j *Journal) knowUnread(number uint32) error {
	if s := j.segments[number]; s != nil {
		s.hides, s.noted = true, true
		return nil
	}
	return os.Remove(segmentName(j.dir, number) + unreadSuffix)
}

// setAside closes a segment and leaves its file to the operator.
func (j *Journal) setAside(s *segment) error {
	err := s.close()
	name := s.name + asideSuffix
	if _, e := os.Lstat(name); !errors.Is(e, os.ErrNotExist) {
		return errors.Join(err, fmt.Errorf("setting %s aside: %w", s.name, cmp.Or(e, os.ErrExist)))
	}
	if e := os.Rename(s.name, name); e != nil {
		return errors.Join(err, e)
	}
	if s.noted {
		err = errors.Join(err, os.Remove(s.name+unreadSuffix))
	}
	err = errors.Join(err, j.opts.syncDir(j.dir))
	j.opts.SetAside(filepath.Base(name))
	return err
}
