package origin

import (
	"net"
	"time"
)

// How an end that is gone is noticed without a word in HTTP: a connection on
// which nothing passes is probed by TCP, and one whose bytes are not taken is
// given up.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}

const giveUpAfter = 20 * time.Second
