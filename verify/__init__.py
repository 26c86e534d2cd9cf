"""Files become answers, and the answers are held against eager's."""
