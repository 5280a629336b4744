"""Events that providers of e-mail, SMS and WhatsApp report about our messages, and answers to SMS."""
