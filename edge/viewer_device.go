package edge

import "strings"

// A device is what a User-Agent says that it is.
type device struct{ android, ios, mobile, tablet, tv bool }

func (d device) desktop() bool { return !d.mobile && !d.tablet && !d.tv }

// deviceOf reads a User-Agent, by the words that browsers agreed on (MDN,
// "Browser detection using the user agent"). As at CloudFront a tablet is no
// mobile, and what says nothing is a desktop.
func deviceOf(agent string) (d device) {
	a := strings.ToLower(agent)
	has := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(a, w) {
				return true
			}
		}
		return false
	}
	d.tv = has("smart-tv", "smarttv", "googletv", "appletv", "apple tv", "hbbtv", "netcast", "web0s", "webos.tv", "tizen tv", "crkey", "roku", "bravia", "viera", "android tv", "chromecast") ||
		strings.Contains(agent, " AFT") // Amazon's Fire TV, by its models' names
	d.android = has("android")
	d.ios = has("iphone", "ipad", "ipod")
	d.tablet = !d.tv && (has("ipad", "tablet", "kindle", "silk/", "playbook") || d.android && !has("mobile"))
	d.mobile = !d.tv && !d.tablet && (has("iphone", "ipod", "windows phone", "blackberry", "bb10", "opera mini", "iemobile") || has("mobile"))
	return d
}
